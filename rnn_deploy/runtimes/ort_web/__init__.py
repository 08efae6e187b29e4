"""ONNX Runtime in JavaScript (onnxruntime-web), and the module with which pages and Node use it.

npm_package   the files of onnxruntime-web, of one pinned version, from npm or from the user
description   a bundle as the JavaScript module reads it
runtime       `ort-web`: the module under Node.js
js            rnn-model.js and rnn-text.js, the module that every web package contains
"""
