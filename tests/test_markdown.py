from cogrl.markdown import markdown_table


def test_a_table_has_a_line_for_each_row_whatever_its_cells_hold():
    text = markdown_table(["what", "n"], (row for row in [("a|b", "1"), ("two\nlines", "")]))
    assert text == "| what | n |\n| --- | --- |\n| a\\|b | 1 |\n| two lines |  |\n"
