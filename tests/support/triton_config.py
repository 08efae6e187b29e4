"""The fields of Triton's ModelConfig that packages use, to read config.pbtxt without tritonclient.

tritonclient needs an older protobuf than this environment has. Its own definition reads the same
files in tests/packaging/triton/test_server.py.
"""

from functools import cache

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    json_format,
    message_factory,
    text_format,
)

TEXT, NUMBER, YES = "TYPE_STRING", "TYPE_INT64", "TYPE_BOOL"
# Message --> field --> type; a list for a repeated field.
MESSAGES = {
    "Initial": {"name": TEXT, "data_type": "DataType", "dims": [NUMBER], "zero_data": YES},
    "State": {
        **{"input_name": TEXT, "output_name": TEXT, "data_type": "DataType", "dims": [NUMBER]},
        "initial_state": ["Initial"],
    },
    "Port": {"name": TEXT, "data_type": "DataType", "dims": [NUMBER]},
    "Oldest": {"max_candidate_sequences": NUMBER, "max_queue_delay_microseconds": NUMBER},
    "Sequences": {
        **{"max_sequence_idle_microseconds": NUMBER, "oldest": "Oldest", "state": ["State"]}
    },
    "Dynamic": {},
    "Group": {"count": NUMBER, "kind": "Kind"},
    "Value": {"string_value": TEXT},
    "Parameter": {"key": TEXT, "value": "Value"},
    "Config": {
        **{"name": TEXT, "backend": TEXT, "max_batch_size": "TYPE_INT32"},
        **{"input": ["Port"], "output": ["Port"], "instance_group": ["Group"]},
        **{"dynamic_batching": "Dynamic", "sequence_batching": "Sequences"},
        "parameters": ["Parameter"],
    },
}
ENUMS = {
    "DataType": ("TYPE_INVALID", "TYPE_FP32", "TYPE_FP64", "TYPE_INT32", "TYPE_INT64", "TYPE_BOOL"),
    "Kind": ("KIND_AUTO", "KIND_CPU", "KIND_GPU"),
}


def config_of(text):
    """A configuration as the JSON values that a server answers."""
    message = text_format.Parse(text, _message("Config")())
    found = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return {"max_batch_size": 0, **found}


@cache
def _message(name):
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"triton.{name}"))


def _file():
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="triton", syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            added = message.field.add(name=field, number=number)
            (word,) = kind if isinstance(kind, list) else (kind,)
            added.label = 3 if isinstance(kind, list) else 1
            if word.startswith("TYPE_"):
                added.type = added.Type.Value(word)
            else:
                added.type = added.TYPE_ENUM if word in ENUMS else added.TYPE_MESSAGE
                added.type_name = f".triton.{word}"
    return file
