"""A run takes a share of a large suite; all shares together are the suite."""

from tests.support.shares import digest_of, share_of

TESTS = [f"tests/test_large.py::test_case[{number}]" for number in range(300)]


def test_the_shares_are_equal_and_together_the_whole():
    shares = [share_of(TESTS, 3, digest) for digest in range(3)]
    assert [len(share) for share in shares] == [100] * 3
    assert set().union(*shares) == set(TESTS)
    assert {int(test[-2]) % 3 for test in shares[0]} == {0, 1, 2}  # not every third one


def test_a_change_of_the_package_changes_the_number(tmp_path):
    module = tmp_path / "module.py"
    module.write_bytes(b"x = 1\n")
    before = digest_of(tmp_path)
    module.write_bytes(b"x = 1\r\n")
    assert digest_of(tmp_path) == before
    module.write_bytes(b"x = 2\n")
    assert digest_of(tmp_path) != before
