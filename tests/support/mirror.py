"""Where modules are tested that have no test file of their own name, and what other files test.

The rule is one test file for each module, in the same folder. `tests/test_structure.py` holds the
rule and these exceptions: a module that gets a test file of its own must leave the list.
"""

# Test file: why these modules are tested there.
TESTED_IN: dict[str, tuple[str, tuple[str, ...]]] = {
    "c/test_models": (
        "a node is right if the compiled C gives the right values",
        (
            *("c/cells", "c/functions", "c/ir", "c/layers", "c/layout", "c/nodes"),
            *("c/entry", "c/operations", "c/place", "c/recurrent"),
        ),
    ),
    "c/test_reading": ("refusals of a model", ("c/refusal",)),
    "c/test_source": ("some of the files", ("c/header", "c/shared")),
    "c/test_attention": ("what is read is right if the compiled C is", ("c/attending",)),
    "packaging/c/test_halves": ("what the manifest says of every function", ("c/description",)),
    "packaging/web/test_packager": (
        "what the page reads of the bundle",
        ("runtimes/ort_web/description",),
    ),
    "packaging/c/test_packager": (
        "parts of one package, seen in what it writes",
        ("packaging/c/interface", "packaging/c/readme", "packaging/c/selftest", "packaging/proof"),
    ),
    "packaging/triton/test_packager": (
        "parts of one package, seen by its own check",
        ("packaging/triton/golden", "packaging/triton/readme"),
    ),
    "packaging/starter/test_cpp": (
        "the text of its programs",
        ("packaging/starter/cpp_selftest", "packaging/starter/cpp_text"),
    ),
    "packaging/starter/test_phone": (
        "two programs that make the same calls",
        (
            *("packaging/starter/android", "packaging/starter/android_text"),
            *("packaging/starter/ios", "packaging/starter/ios_text"),
        ),
    ),
    "packaging/starter/test_python": (
        "parts of every program, seen in one that runs",
        ("packaging/starter/program", "packaging/starter/vectors"),
    ),
    "cli/test_inspect": ("a table of this command", ("cli/runtime_table",)),
    "cli/test_evaluate": (
        "used by this command alone",
        ("cli/keras_model", "verifying/evaluation"),
    ),
    "cli/test_attachments": ("what `run` prints of them", ("inference/labels",)),
    "cli/test_quantize": ("what export and inspect show", ("bundle/appraisal",)),
    "exporting/test_attachments": (
        "what is given is checked, written and read",
        ("bundle/attachments", "exporting/given"),
    ),
    "cli/test_main": ("shared by all commands", ("__main__", "cli/console")),
    "cli/test_verify": ("parts of one command", ("cli/reference_model", "cli/tolerances")),
    "cli/test_verify_outputs": ("parts of one command", ("cli/report_files",)),
    "cli/test_tune": (
        "a plan is tuned and then run by commands",
        ("cli/plans", "perf/tuning/tune"),
    ),
    "cli/test_bench": (
        "seen in what the command writes",
        ("perf/bench/plot", "perf/peers/candidates"),
    ),
    "cli/test_debug": (
        "layers are looked into by this command",
        (
            *("references/layer_outputs", "verifying/diagnose/by_layer"),
            *("verifying/diagnose/inner", "verifying/diagnose/inner_onnx"),
        ),
    ),
    "inference/test_generation": (
        "parts of one generation",
        ("inference/next_token", "inference/strategies"),
    ),
    "cli/test_generate": ("the vocabulary of this command", ("inference/vocabulary",)),
    "cli/test_compare": (
        "used by this command alone",
        (
            *("cli/keras_runner", "runtimes/artifact", "verifying/pairing"),
            "verifying/report/pair_page",
        ),
    ),
    "cli/test_arrays": (
        "the inputs of a command, from their files",
        ("cli/converting", "cli/table_inputs"),
    ),
    "cli/test_run": ("the arguments of this command", ("cli/loading", "cli/run_request")),
    "cli/test_runtimes": ("the command shows the registry", ("runtimes/registry",)),
    "cli/test_conformance": ("the command runs the suite", ("conformance/suite",)),
    "conformance/test_conformance": (
        "every case and model is exported, run and judged there",
        (
            *("conformance/cases", "conformance/checking", "conformance/custom_cells"),
            *("conformance/layers", "conformance/masks", "conformance/models"),
        ),
    ),
    "conformance/test_table": ("the table shows the gaps", ("conformance/gaps",)),
    "exporting/test_pipeline": ("steps of one export", ("exporting/cases", "exporting/writing")),
    "exporting/test_reading": ("what the reader returns", ("formats/read_model",)),
    "exporting/test_rows": ("measured on exported models", ("references/rows",)),
    "formats/test_registry": (
        "what is registered, and how it is loaded",
        ("formats/base", "plugins"),
    ),
    "keras/test_opening": ("whole files and parts of models", ("keras/keras3", "spec/opening")),
    "keras/test_splitting": (
        "what the split is found from",
        ("keras/layer_calls", "keras/part", "keras/traced_calls"),
    ),
    "exporting/test_halves": ("seen in whole exports", ("keras/halves",)),
    "keras/test_user_classes": (
        "files of the user's, for both versions of Keras",
        ("keras/keras2/user_imports",),
    ),
    "keras/test_compat": (
        "the private names that these use",
        ("keras/access", "keras/precision", "keras/seams", "keras/tensorflow"),
    ),
    "exporting/test_plan": ("steps of one plan", ("exporting/open_time",)),
    "keras/keras2/test_models": (
        "whole models that tf_keras opens",
        ("keras/keras2/intercept", "keras/keras2/package", "keras/keras2/precision"),
    ),
    "workers/test_hdf5": ("the two sides of one process", ("keras/hdf5_check",)),
    "keras/test_intercept": (
        "cases of interception",
        ("keras/originals", "keras/per_step"),
    ),
    "onnx/test_choice": (
        "what the choice is made from",
        ("onnx/format", "onnx/profiles"),
    ),
    "onnx/test_costs": ("costs at expected sizes", ("onnx/expected",)),
    "onnx/test_saved_model": ("the same export", ("exporting/id_ranges", "exporting/saved_model")),
    "onnx/test_writer": (
        "a lowering is right if the written model gives the right values",
        (
            *("onnx/activations", "onnx/bidirectional", "onnx/calls", "onnx/files"),
            *("onnx/float64", "onnx/native", "onnx/ops", "onnx/scan", "onnx/step"),
            *("onnx/tf2onnx_graph", "onnx/unrolled"),
        ),
    ),
    "perf/bench/test_worker": (
        "the two sides of one process",
        ("perf/bench/contender", "perf/bench/opening"),
    ),
    "perf/peers/test_build": ("what is built", ("perf/peers/model",)),
    "references/test_reference": ("what a reference sees of a layer", ("references/probing",)),
    "runtimes/test_external_data": ("the files of an ONNX file", ("runtimes/onnx_file",)),
    "runtimes/test_feeds": ("the options and protocols of all runtimes", ("runtimes/base",)),
    "runtimes/test_isolation": ("the two sides of one process", ("runtimes/worker",)),
    "runtimes/test_machine": ("shows what the machine says", ("verifying/report/environment",)),
    "scoring/test_scoring": (
        "parts of one run, seen in what it writes",
        (
            *("scoring/files", "scoring/job", "scoring/layout", "scoring/plan", "scoring/record"),
            *("scoring/results", "scoring/scorer", "scoring/sequences", "scoring/shard"),
            "scoring/table_rows",
        ),
    ),
    "scoring/sources/test_registry": (
        "the same data in every format",
        (
            *("scoring/sources/base", "scoring/sources/csv_files", "scoring/sources/json_lines"),
            *("scoring/sources/lines", "scoring/sources/numpy_files", "scoring/sources/parquet"),
        ),
    ),
    "scoring/engines/test_registry": (
        "one run on each engine",
        (
            *("scoring/engines/base", "scoring/engines/dask", "scoring/engines/local"),
            "scoring/engines/ray",
        ),
    ),
    "references/test_golden_special": ("one of the cases", ("references/golden_long",)),
    "spec/test_entry_points": ("names of types only", ("spec/types",)),
    "test_testing": ("fixtures and the runtime for tests", ("pytest_plugin", "runtimes/fake")),
    "tflite/test_choice": ("what the choice is made from", ("tflite/format",)),
    "tflite/flatbuffer/test_alias": ("loops whose buffers are shared", ("tflite/inplace",)),
    "tflite/test_writer": (
        "a lowering is right if the written file gives the right values",
        (
            *("tflite/files", "tflite/flatbuffer/editor", "tflite/flatbuffer/fuse"),
            *("tflite/fused", "tflite/loop", "tflite/step", "tflite/unrolled"),
        ),
    ),
    "tflite/micro/test_files": (
        "files and the process that runs them",
        (
            *("runtimes/tflite_micro", "tflite/micro/format", "tflite/micro/source"),
            "tflite/micro/worker",
        ),
    ),
    "tflite/micro/test_example": ("the program shows the header", ("tflite/micro/signature",)),
    "tflite/micro/test_forms": (
        "forms differ in memory, which a budget limits",
        ("tflite/micro/budget", "tflite/single"),
    ),
    "tflite/micro/test_operators": (
        "operators that are missing, and what failures say",
        ("tflite/micro/failures",),
    ),
    "tflite/quantise/test_quantise": (
        "seen in the quantised file",
        (
            *("tflite/quantise/calibration", "tflite/quantise/recurrent_weights"),
            *("tflite/quantise/tables", "tflite/quantise/worker"),
        ),
    ),
    "verifying/diagnose/test_localise": (
        "parts of one search",
        (
            *("verifying/diagnose/failure_log", "verifying/diagnose/finding"),
            "verifying/judge/trials",
        ),
    ),
    "verifying/judge/test_sizes": ("where sizes are nudged", ("verifying/judge/nudging",)),
    "verifying/judge/test_compare": ("parts of a comparison", ("verifying/judge/distance",)),
    "verifying/report/test_html": (
        "seen on the page",
        ("verifying/report/error_profiles", "verifying/report/plots"),
    ),
    "verifying/report/test_notes": ("become notes", ("verifying/judge/known_differences",)),
    "verifying/report/test_results": (
        "what results and text are made from",
        ("verifying/report/observation", "verifying/report/text"),
    ),
    "verifying/report/test_baseline": ("what it finds", ("verifying/report/changes",)),
    "verifying/test_mutants": ("faults in single files", ("verifying/diagnose/file_verdicts",)),
    "verifying/test_planted": (
        "planted faults are explained",
        (
            *("verifying/diagnose/explain", "verifying/diagnose/one_weight"),
            *("verifying/diagnose/original_model", "verifying/diagnose/suspects"),
        ),
    ),
    "verifying/test_planted_tflite": ("the same in TFLite", ("verifying/diagnose/inner_tflite",)),
    "verifying/test_quantisation_error": ("judged by it", ("verifying/judge/quantisation",)),
    "verifying/test_run": (
        "parts of one verification",
        ("verifying/assembling", "verifying/request", "verifying/runtime_verification"),
    ),
    "verifying/judge/test_weights": (
        "what became of a weight that was changed",
        ("verifying/diagnose/weight_relation",),
    ),
    "verifying/judge/test_checks": ("what checks run on", ("verifying/judge/subject",)),
    "workers/test_process": ("the two sides of one process", ("workers/serving",)),
}

# Test files that are named after no module.
WITHOUT_MODULE: dict[str, str] = {
    "test_malformed": "damaged files of every kind",
    "test_scripts": "scripts/start.py",
    "c/test_activations": "the snippets of C",
    "inference/test_translation_example": "a Keras example, split by hand",
    "c/test_models": "one model of each kind, compiled and run",
    "test_shares": "which tests a run takes",
    "runtimes/ort_web/test_module": "rnn-model.js and rnn-text.js",
    "packaging/c/test_halves": "the package of an encoder-decoder model",
    "packaging/c/test_targets": "the self-test on emulated processors",
    "packaging/triton/test_server": "the package on a real Triton server",
    "cli/test_main": "what all commands share",
    "cli/test_run_refusals": "what run refuses, apart from what it computes",
    "cli/test_quantize": "an option of export that needs a package of its own",
    "cli/test_verify_outputs": "the files that verify writes",
    "cli/test_without_unix": "all commands on a system without Unix signals",
    "conformance/test_conformance": "the suite itself",
    "exporting/test_budgets": "errors of whole exports",
    "exporting/test_rows": "exports of models that mix the rows of a batch",
    "exporting/test_states": "the option `state` of export",
    "exporting/test_zoo": "one model of each kind through the whole export",
    "inference/test_one_step": "single steps in all entry points",
    "keras/keras2/test_models": "old models through the whole export",
    "models/test_models": "the example models beside the package",
    "numerics/test_masked_cells": "properties of masks, without TensorFlow",
    "onnx/test_step_form": "the form for single steps",
    "test_architecture": "the package as a whole",
    "test_old_files": "the table in the docs: which files open",
    "test_docs": "the documentation",
    "test_public_api": "the package as a whole",
    "test_readme": "the README",
    "test_structure": "the tests",
    "test_tutorial": "the tutorial",
    "verifying/test_memory": "memory of a whole verification",
    "verifying/test_mutants": "mutants of ONNX and TFLite files",
    "verifying/test_planted": "planted faults",
    "verifying/test_planted_tflite": "planted faults in TFLite files",
}
