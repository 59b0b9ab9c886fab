"""A digest is of what a file says now."""

import os

from w2s_lib.digests import digest, of_file, of_files


def test_a_file_is_named_by_what_it_holds(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("one", encoding="utf-8"), second.write_text("one", encoding="utf-8")
    assert of_file(first) == of_file(second) == digest("one")


def test_a_file_that_is_written_again_is_read_again(tmp_path):
    path = tmp_path / "a"
    path.write_text("one", encoding="utf-8")
    before = of_file(path)
    path.write_text("two", encoding="utf-8")  # as long as before
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    assert of_file(path) != before


def test_files_are_named_by_their_names_and_contents_and_not_by_their_order(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1", encoding="utf-8"), two.write_text("2", encoding="utf-8")
    before = of_files([one, two])
    assert of_files([two, one]) == before != of_files([one])
    one.write_text("2", encoding="utf-8"), two.write_text("1", encoding="utf-8")
    os.utime(one, ns=(0, one.stat().st_mtime_ns + 1)), os.utime(two, ns=(0, two.stat().st_mtime_ns + 1))
    assert of_files([one, two]) != before
