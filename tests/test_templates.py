"""Pages: values are escaped, filters apply, and an unknown name is an error."""

import pytest

from rnn_deploy.templates import rendered

jinja2 = pytest.importorskip("jinja2", reason="needs the extra report")


@pytest.fixture
def package(tmp_path, monkeypatch):
    place = tmp_path / "pages_of_a_test"
    place.mkdir()
    (place / "__init__.py").touch()
    (place / "page.html").write_text("{{ name }}: {{ 3 | double }}")
    monkeypatch.syspath_prepend(tmp_path)
    return place.name


def test_values_are_escaped_and_filters_apply(package):
    page = rendered(package, "page.html", {"name": "<a>"}, {"double": lambda value: 2 * value})
    assert page == "&lt;a&gt;: 6"


def test_an_unknown_name_is_an_error(package):
    with pytest.raises(jinja2.UndefinedError, match="name"):
        rendered(package, "page.html", {}, {"double": str})
