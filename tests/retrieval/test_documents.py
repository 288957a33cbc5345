"""Documents become passages with titles, whatever they were written in."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from app.backend.errors import BadInput
from app.backend.retrieval.documents import Draft, Problem, expand, read

SENTENCE = "The quick brown fox jumps over the lazy dog near the river. "


def drafts(*files: Path) -> list[Draft]:
    found = list(read(list(files)))
    assert all(isinstance(draft, Draft) for draft in found), found
    return [draft for draft in found if isinstance(draft, Draft)]


def make_docx(path: Path, heading: str, text: str) -> Path:
    namespace = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    style = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{types}"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        )
        file.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{relations}"><Relationship Id="r1" Type="{office}" Target="word/document.xml"/>'
            "</Relationships>",
        )
        file.writestr(
            "word/document.xml",
            f"<w:document {namespace}><w:body><w:p>{style}<w:r><w:t>{heading}</w:t></w:r></w:p>"
            f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>",
        )
    return path


def make_pdf(path: Path, text: str) -> Path:
    drawn = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(body)
    path.write_bytes(body + b"xref\n0 6\n0000000000 65535 f \n" + table + end)
    return path


def test_headings_become_titles_and_code_fences_are_no_headings(tmp_path: Path) -> None:
    file = tmp_path / "guide.md"
    file.write_text("before\n# Guide\nIntro [here](http://x.y).\n```\n# a comment\n```\n## Install *now*\nRun it.\n")
    assert [(d.id, d.title, d.text) for d in drafts(file)] == [
        ("guide-1", "guide", "before"),
        ("guide-2", "Guide", "Intro here.\n```\n# a comment\n```"),
        ("guide-3", "Guide: Install *now", "Run it."),
    ]


@pytest.mark.parametrize(("sentence", "most"), [(SENTENCE, 1000), ("今天的天气很好，我们去公园散步。", 360)])
def test_long_text_is_cut_between_sentences_and_nothing_is_lost(tmp_path: Path, sentence: str, most: int) -> None:
    file = tmp_path / "long.txt"
    file.write_text(sentence * 100)
    found = drafts(file)
    assert len(found) > 3 and all(len(draft.text) <= most for draft in found)
    assert all(draft.text.endswith((".", "。")) for draft in found)
    assert "".join("".join(draft.text for draft in found).split()) == "".join((sentence * 100).split())


def test_text_without_any_break_is_cut_too(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("x" * 2500)
    assert [len(draft.text) for draft in drafts(file)] == [1000, 1000, 500]


def test_html_docx_and_pdf_are_read(tmp_path: Path) -> None:
    html = tmp_path / "page.html"
    html.write_text("<h1>Head</h1><script>steal()</script><p>Some <b>bold</b> words</p>")
    docx = make_docx(tmp_path / "letter.docx", "Dear reader", "A letter of few words.")
    pdf = make_pdf(tmp_path / "paper.pdf", "A paper of few words.")
    found = {draft.where: draft for draft in drafts(html, docx, pdf)}
    assert (found[str(html)].title, found[str(html)].text) == ("Head", "Some **bold** words")
    assert (found[str(docx)].title, found[str(docx)].text) == ("Dear reader", "A letter of few words.")
    assert (found[str(pdf)].title, found[str(pdf)].text) == ("paper", "A paper of few words.")


def test_files_of_the_same_name_get_different_ids(tmp_path: Path) -> None:
    files = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "readme.txt")
        files[-1].write_text("text")
    assert [draft.id for draft in drafts(*files)] == ["readme-1", "readme~2-1"]


def test_what_cannot_be_converted_is_a_problem_not_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"no pdf")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xfa")
    (tmp_path / "c.md").write_text("\n\n")
    (tmp_path / "d.txt").write_text("fine")
    found = list(read(sorted(tmp_path.iterdir())))
    assert [type(one) for one in found] == [Problem, Problem, Problem, Draft]
    assert [one.where for one in found] == [str(tmp_path / name) for name in ("a.pdf", "b.txt", "c.md", "d.txt")]


def test_a_folder_stands_for_its_readable_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.md", "a.txt", "sub/c.jsonl", "sub/d.png"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in expand([tmp_path])] == ["a.txt", "b.md", "c.jsonl"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no file"):
        expand([tmp_path / "empty"])
