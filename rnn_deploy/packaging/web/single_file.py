"""Put all files of the page into one HTML file, which also opens from a disk without a server.

The modules become one script: their imports of each other are removed, so their top-level names
must differ. Other files are compressed and written as base64; browsers decompress them.
"""

import base64
import gzip
import re
from collections.abc import Mapping

from rnn_deploy.packaging.writing import MARK

# In the order of their imports.
SCRIPTS = (
    *("rnn-text.js", "rnn-model.js", "rnn-generate.js", "verify.js", "plots.js", "results.js"),
    *("attention.js", "controls.js", "generate.js", "page.js"),
)
EMBEDDED = (
    *("model.json", "golden.json", "model.onnx", "model.onnx.data", "ort/ort.mjs"),
    *("encode.json", "golden-encode.json", "encode.onnx", "encode.onnx.data"),
)
WASM = "ort/ort-wasm.wasm"
_IMPORT = re.compile(r'^import [^;]*? from "\./[\w.-]+";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:class|const|function))", re.MULTILINE)


def single_file(contents: Mapping[str, bytes]) -> bytes:
    """Return the page as one file."""
    page = contents["index.html"].decode()
    style = contents["page.css"].decode()
    script = "\n".join(_without_imports(contents[name].decode()) for name in SCRIPTS)
    names = [name for name in (*EMBEDDED, WASM) if name in contents]
    embedded = "\n".join(_embedded(name, contents[name]) for name in names)
    notice = contents["LICENSE-onnxruntime-web.txt"].decode().replace("--", "- -")
    page = _once(page, '<link rel="stylesheet" href="page.css">', f"<style>\n{style}</style>")
    page = _once(
        page,
        '<script type="module" src="page.js"></script>',
        f'{embedded}\n<script type="module">\n{_in_script(script)}</script>',
    )
    page = _once(page, "</body>", f"<!--\nonnxruntime-web:\n{notice}-->\n</body>")
    return _once(page, "<!doctype html>\n", f"<!doctype html><!-- {MARK} -->\n").encode()


def _without_imports(text: str) -> str:
    return _EXPORT.sub("", _IMPORT.sub("", text))


def _embedded(name: str, content: bytes) -> str:
    packed = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
    return f'<script type="application/gzip" data-path="{name}">{packed}</script>'


def _in_script(text: str) -> str:
    """Escape end tags: HTML ends a script at the first one, even within a string."""
    return text.replace("</script", "<\\/script")


def _once(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise ValueError(f"expected {old!r} once in index.html, found it {text.count(old)} times")
    return text.replace(old, new)
