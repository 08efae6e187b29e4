"""The page as one file: nothing lost, nothing defined twice."""

import base64
import gzip
import re
from collections import Counter
from importlib.resources import files

import pytest

from rnn_deploy.packaging.web import single_file as module
from rnn_deploy.packaging.web.packager import MODULES, PAGE
from rnn_deploy.packaging.web.single_file import SCRIPTS, single_file
from rnn_deploy.packaging.writing import MARK

PLACES = {name: files(MODULES[0]).joinpath("js", name) for name in MODULES[1]}
PLACES |= {name: files("rnn_deploy.packaging.web").joinpath("page", name) for name in PAGE}
CONTENTS = {name: place.read_bytes() for name, place in PLACES.items()}
DEFINED = re.compile(r"^(?:export )?(?:async )?(?:class|const|let|function)\*? (\w+)", re.MULTILINE)

IMPORTED = re.compile(r'^import .* from "\./([\w.-]+)";', re.MULTILINE)


def page():
    model = {"model.onnx": bytes(range(256)), "ort/ort-wasm.wasm": b"wasm"}
    return single_file(CONTENTS | model).decode()


def test_every_file_is_in_the_page():
    html = page()
    assert MARK in html.splitlines()[0]
    packed = re.search(r'data-path="model.onnx">([^<]*)<', html)
    assert gzip.decompress(base64.b64decode(packed[1])) == bytes(range(256))
    assert "src=" not in html.replace("img-src", "").replace("default-src", "")
    assert re.search(r"^(import|export) ", html, re.MULTILINE) is None
    assert "Permission is hereby granted" in html


def test_no_name_is_defined_by_two_modules():
    names = [name for script in SCRIPTS for name in DEFINED.findall(CONTENTS[script].decode())]
    assert {name for name, times in Counter(names).items() if times > 1} == set()
    assert {"load", "verify", "heatMap"} <= set(names)


def test_modules_come_after_those_that_they_import():
    for at, name in enumerate(SCRIPTS):
        imported = set(IMPORTED.findall(CONTENTS[name].decode()))
        assert imported <= set(SCRIPTS[:at]), name


def test_a_page_without_its_places_is_a_defect():
    with pytest.raises(ValueError, match=r"page\.css"):
        module._once("<html>", '<link href="page.css">', "")
