"""Headless Chromium, driven by its DevTools protocol over a pipe, and a server of one folder."""

import base64
import functools
import json
import os
import select
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

CHROMIUM = shutil.which("chromium")
SECONDS = 60
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not here")
READY = "(document.documentElement.dataset.ready ?? '')"


class Browser:
    """One page. requests: the URL of every request that it makes."""

    def __init__(self, folder):
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()

        def pipes():  # the protocol uses the file descriptors 3 and 4
            spare = os.dup2(to_write, 40), os.dup2(to_read, 41)
            os.dup2(spare[1], 3)
            os.dup2(spare[0], 4)

        self._process = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions",
             "--remote-debugging-pipe", "--no-first-run", "--disable-background-networking",
             f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=pipes, close_fds=False, stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._buffer, self._last, self._session = b"", 0, None
        self.requests, self.messages = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """Send a command and return its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _next(self):
        end = time.monotonic() + SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            self._buffer += os.read(self._read, 1 << 20)
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer = json.loads(line)
        if answer.get("method") == "Network.requestWillBeSent":
            self.requests.append(answer["params"]["request"]["url"])
        if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.messages.append(json.dumps(answer["params"]))
        return answer

    def evaluate(self, code):
        """Return the value of a JavaScript expression; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, code):
        """Wait until a JavaScript expression is true, and return its value."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            value = self.evaluate(code)
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"{code} stays false; {self.evaluate('document.body.innerText')}")

    def open(self, url):
        """Open a page; return what it says of its self-check."""
        self.requests.clear()
        self.call("Page.navigate", url=url)
        self.until(f"document.readyState === 'complete' && {READY}")
        return self.evaluate(READY)

    def text(self, selector):
        return self.evaluate(f"document.querySelector({selector!r}).innerText")

    def type(self, selector, text):
        """Focus an element and type at its end."""
        self.evaluate(
            f"(() => {{ const e = document.querySelector({selector!r}); e.focus();"
            " e.setSelectionRange?.(e.value.length, e.value.length); })()"
        )
        self.call("Input.insertText", text=text)

    def press(self, key, code, number):
        text = {"text": key} if len(key) == 1 else {}
        for kind, typed in (("keyDown", text), ("keyUp", {})):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=code,
                windowsVirtualKeyCode=number, **typed,
            )  # fmt: skip

    def look(self, width, height=None, *, dark=False):
        """Set the size of the window and the colours, and return a screenshot as PNG."""
        shade = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=shade)
        for size in (900, height):
            if size is None:
                size = int(self.evaluate("document.documentElement.scrollHeight"))
            self.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=size,
                deviceScaleFactor=1, mobile=width < 600,
            )  # fmt: skip
            time.sleep(0.3)
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self):
        self._process.terminate()
        self._process.wait(SECONDS)
        os.close(self._read)
        os.close(self._write)


@contextmanager
def serving(folder):
    """Serve a folder on this machine; yield its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            return

    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
