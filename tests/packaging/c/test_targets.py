"""The self-test on other processors, emulated: aarch64, riscv64, Cortex-M3, M4 and M7."""

import pytest

from rnn_deploy.packaging.c.packager import PACKAGER
from tests.support.c_compilers import STRICT, call, needed

# The C library's headers are a package of their own, without which the compilers find no stdint.h.
HEADERS = "/usr/{}-linux-gnu/include/stdio.h"
LINUX = {
    "aarch64": ("aarch64-linux-gnu-gcc", "qemu-aarch64"),
    "riscv64": ("riscv64-linux-gnu-gcc", "qemu-riscv64"),
}
# A board of qemu for each processor, and the arguments of the compiler.
BOARDS = {
    "cortex-m3": ("mps2-an385", ("-mcpu=cortex-m3",)),
    "cortex-m4": ("mps2-an386", ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")),
    "cortex-m7": ("mps2-an500", ("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard")),
}
CELL_BYTES = 2048  # of code for a model of one cell
START = """
extern int main(void);
extern void initialise_monitor_handles(void);
extern void exit(int);
void reset(void);
void _init(void) {}
void _fini(void) {}
void reset(void) {
    *(volatile unsigned *)0xE000ED88 |= 0xF00000; /* the floating-point unit, where there is one */
    initialise_monitor_handles();
    exit(main());
}
__attribute__((section(".vectors"), used)) void *const vectors[2] = {(void *)0x20100000, reset};
"""
SCRIPT = """
ENTRY(reset)
SECTIONS {
  . = 0x0; .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) }
  .ARM.exidx : { *(.ARM.exidx*) }
  . = 0x20000000; .data : { *(.data*) } .bss : { *(.bss*) *(COMMON) } end = .; _end = .;
  __bss_start__ = ADDR(.bss); __bss_end__ = end;
}
"""


def written(bundle, place):
    for path, content in PACKAGER.package(bundle, {}).files.items():
        (place / path).write_bytes(content)
    return sorted(path.name for path in place.glob("*.c"))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=needed(*LINUX[n], HEADERS.format(n))) for n in LINUX]
)
def test_the_self_test_passes_under_linux(masked, whole, tmp_path, name):
    compiler, emulator = LINUX[name]
    for bundle in (masked, whole):
        sources = written(bundle, tmp_path)
        call(compiler, *STRICT, "-O2", "-static", *sources, "-lm", "-o", "t", place=tmp_path)
        assert "passed" in call(emulator, "./t", place=tmp_path)


@needed("arm-none-eabi-gcc", "qemu-system-arm")
@pytest.mark.parametrize("processor", BOARDS)
def test_the_self_test_passes_on_a_microcontroller(masked, tmp_path, processor):
    assert "passed" in on_board(masked, tmp_path, processor)


@needed("arm-none-eabi-gcc", "qemu-system-arm")
def test_a_fault_is_found_on_a_microcontroller(masked, tmp_path):
    def change(text):
        return text.replace("z * h[j]", "r * h[j]")

    assert "FAILED" in on_board(masked, tmp_path, "cortex-m4", change, code=1)


def on_board(bundle, place, processor, change=lambda text: text, code=0):
    board, flags = BOARDS[processor]
    sources = written(bundle, place)
    (place / "model.c").write_text(change((place / "model.c").read_text()))
    (place / "start.c").write_text(START)
    (place / "board.ld").write_text(SCRIPT)
    call(
        *("arm-none-eabi-gcc", "-mthumb", *flags, "-std=c99", "-O2", "-DNDEBUG", "-nostartfiles"),
        *("--specs=rdimon.specs", "-T", "board.ld", "start.c", *sources, "-lm", "-o", "t.elf"),
        place=place,
    )
    return call(
        *("timeout", "300", "qemu-system-arm", "-M", board, "-nographic", "-monitor", "none"),
        *("-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel", "t.elf"),
        place=place,
        code=code,
    )


@needed("arm-none-eabi-gcc", "arm-none-eabi-size")
def test_code_is_small_and_there_is_no_data(masked, tmp_path):
    """Two kinds of cell and what they share."""
    written(masked, tmp_path)
    _, flags = BOARDS["cortex-m4"]
    for source in ("model", "model_weights"):
        call(
            *("arm-none-eabi-gcc", "-mthumb", *flags, "-std=c99", "-Os", "-DNDEBUG"),
            *("-c", f"{source}.c"),
            place=tmp_path,
        )
    sizes = {}
    for source in ("model", "model_weights"):
        _, row = call("arm-none-eabi-size", f"{source}.o", place=tmp_path).splitlines()
        sizes[source] = [int(word) for word in row.split()[:3]]
    weights = masked.manifest.artifacts[0].details["weight_bytes"]
    assert sizes["model"][0] <= 2 * CELL_BYTES
    assert sizes["model_weights"][0] <= weights + 256
    assert [size[1:] for size in sizes.values()] == [[0, 0], [0, 0]]
