"""Names kept, lost and swapped, and prompts where none is demanded."""

from in2x.rewards.groups import Group
from in2x.rewards.names import demanded, name_score


def group(source, reference, **changes):
    return Group("a", [], source, reference, "ja", [], **{"source_language": "en"} | changes)


def test_names_that_the_reference_keeps_are_demanded():
    tom = group("Tom met Mary in Boston.", "トムはボストンでメアリーに会った。")
    assert demanded(tom)
    assert name_score(tom, "ボストンでトムがメアリーと会った。") == 1
    assert name_score(tom, "ケンはボストンでメアリーに会った。") == 2 / 3
    assert name_score(tom, "彼は彼女に会った。") == 0


def test_without_a_name_a_reference_or_a_language_nothing_is():
    assert not demanded(group("He is here.", "彼はここにいる。"))
    assert not demanded(group("Tom is here.", None)) and not demanded(group("Tom is here.", ""))
    assert not demanded(group("Tom is here.", "トムがいる。", source_language=""))
