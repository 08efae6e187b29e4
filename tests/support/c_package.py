"""A package of C files, written to a folder, compiled and run."""

from tests.support.c_compilers import call

SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def written(packager, bundle, place, **options):
    for path, content in packager.package(bundle, options).files.items():
        (place / path).write_bytes(content)
    return place


def built_and_run(place, *flags, compiler="gcc", code=0):
    call(
        compiler, *flags, *sorted(p.name for p in place.glob("*.c")), "-lm", "-o", "t", place=place
    )
    return call("./t", place=place, code=code)
