"""The follower of the README: what it runs, where, what it compares, and that it finds what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from readme_blocks import Reader, blocks, follow, is_printed

PAGE = """
# A page

```sh
mkdir made && cd made
echo one > file
```

```python
print(open("file").read())
```

```text
one

```

<!-- ci: runs elsewhere: the gate -->
```sh
exit 3
```

```
a picture
```

```yaml
- name: A step
  run: echo "of a step" >> "$GITHUB_STEP_SUMMARY"
```

```text
of a step
```

```Dockerfile
FROM somewhere
ENV PLACE=/opt/place EMPTY=
COPY . /opt/clone
RUN mkdir $PLACE && \\
    cat /opt/clone/file && echo "$PLACE and $EMPTY"
USER 1000
```

```text
of the clone
.../opt/place and
```
"""


@pytest.fixture
def reader(tmp_path):
    clone, scratch = tmp_path / "clone", tmp_path / "scratch"
    for folder in (clone, scratch):
        folder.mkdir()
    (clone / "file").write_text("of the clone\n")
    return Reader(clone, Path(sys.prefix), scratch)


def test_a_page_is_followed_in_order(reader, capsys):
    assert follow(PAGE, reader, []) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in said] == [
        "mkdir made && cd made",
        'print(open("file").read())',
        "exit 3",
        "- name: A step",
        "FROM somewhere",
    ]
    assert "in the gate" in said[2]
    assert reader.folder == reader.clone / "made"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("of a step\n```\n\n```D", "of another\n```\n\n```D"),  # printed otherwise
        ("one\n\n", "one\n"),
        ("echo one > file", "echo two > file"),
        ("mkdir made &&", "false &&"),  # ends otherwise
        ("echo one", "false | echo one"),
        ("print(", "1 / 0, print("),
        ("PLACE=/opt/place", "PLACE=/opt/elsewhere"),
        ("mkdir $PLACE", "mkdir $PLACES"),
    ],
)
def test_what_is_wrong_is_found(reader, capsys, right, wrong):
    assert PAGE.count(right) == 1
    page = PAGE.replace(right, wrong)
    assert follow(page, reader, []) >= 1
    assert "WRONG" in capsys.readouterr().out


def test_blocks_that_need_what_is_not_there_are_left_out(reader, capsys):
    assert follow("```sh\nimport_of torch\n```\n", reader, ["torch"]) == 0
    assert "left out" in capsys.readouterr().out


def test_generated_sections_are_left_out_and_lines_counted_on():
    page = "<!-- bench: some -->\n```sh\nfalse\n```\n<!-- bench: end of some -->\n```sh\ntrue\n```\n"
    assert [(block.source, block.line) for block in blocks(page)] == [("true\n", 6)]


def test_nothing_is_passed_over():
    with pytest.raises(ValueError, match="line 1 of the README is printed by nothing"):
        list(blocks("```text\nsaid\n```\n"))
    with pytest.raises(ValueError, match="line 5 of the README is printed by nothing"):
        list(blocks("```\na picture\n```\n\n```text\nsaid\n```\n"))
    with pytest.raises(ValueError, match="line 1 of the README is toml, which nothing runs"):
        list(blocks("```toml\na = 1\n```\n"))


def test_what_is_printed_is_compared_but_for_dots_and_ends_of_lines():
    assert is_printed("a  \nb 12\n", "a\nb ...\n")
    assert is_printed("x\ny\nz\n", "...\nz\n")
    for said in ("a\nc 12\n", " a\nb 12\n", "a\n\nb 12\n", "a\n", ""):
        assert not is_printed(said, "a\nb ...\n")
    assert not is_printed("a\nb\n", "a\n")
