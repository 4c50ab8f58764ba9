"""Keys of users and tracks: ids that never change their meaning."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.errors import ArtifactError, SchemaError
from musicrec.files import write_parquet
from musicrec.keys import KeyTable, identity_keys, read_keys

KEYS = st.lists(st.one_of(st.text(max_size=4), st.integers(0, 40).map(str), st.integers(2**31 - 3, 2**31 + 3).map(str)), max_size=30)


@given(st.lists(KEYS, max_size=4))
def test_further_keys_never_change_an_id(imports):
    """Whatever keys later imports bring, every key has one id, no two share one, and none changes."""
    table = KeyTable()
    for keys in imports:
        longer = table.extended(keys)
        longer.check_extends(table, "keys")
        table = longer
        assert len(set(table.ids.tolist())) == len(table) == len(set(table.keys.to_pylist()))
        assert (table.ids >= 0).all()
        assert [table.keys[table.ids.tolist().index(i)].as_py() for i in table.ids_of(keys)] == keys


def test_a_new_name_early_in_the_alphabet_renumbers_nobody():
    """The two imports of a week apart keep alice and bob, and aaron takes the next id."""
    first = KeyTable().extended(["bob", "alice", "bob"])
    assert dict(zip(first.keys.to_pylist(), first.ids.tolist())) == {"alice": 0, "bob": 1}
    assert first.extended(["aaron", "alice"]).ids_of(["alice", "bob", "aaron"]).tolist() == [0, 1, 2]


def test_whole_numbers_are_their_own_ids():
    """One id above 2^31, one leading zero and one word change nothing for the other ids."""
    table = KeyTable().extended(["1000", "1001", "3000000001", "01000", "guest"])
    assert table.ids_of(["1000", "1001"]).tolist() == [1000, 1001]
    assert (table.ids_of(["3000000001", "01000", "guest"]) > 2**31 - 4).all()
    assert not table.is_identity
    assert not table.is_numeric
    assert KeyTable().extended(["1000", "3000000001"]).is_numeric
    assert KeyTable().extended(["0", "7"]).is_identity


def test_a_whole_number_whose_id_is_taken_gets_another():
    """2147483647 after a word took that id."""
    table = KeyTable().extended(["1", "2", "word"]).extended(["2147483647"])
    assert table.ids_of(["word", "2147483647"]).tolist() == [2147483647, 2147483646]


def test_a_table_that_changes_a_key_is_refused():
    """A run in which alice would become somebody else names her, both ids and what to do."""
    earlier = KeyTable().extended(["alice", "bob"])
    with pytest.raises(ArtifactError, match=r"user_keys: key 'alice' is missing and has id 0 in the current run.*another \[artifacts\]"):
        identity_keys(np.array([0, 1], np.int32)).check_extends(earlier, "user_keys")


def test_a_table_survives_its_file(tmp_path):
    """Written and read again, a table has the same keys and ids, by ascending id."""
    table = KeyTable().extended(["5", "3", "x" * 40, "", "ü"])
    table.write(tmp_path / "keys.parquet")
    found = read_keys(tmp_path / "keys.parquet")
    assert dict(zip(found.keys.to_pylist(), found.ids.tolist())) == dict(zip(table.keys.to_pylist(), table.ids.tolist()))
    assert found.ids.tolist() == sorted(found.ids.tolist())


@pytest.mark.parametrize(("keys", "ids"), [(["a", "a"], [0, 1]), (["a", "b"], [1, 1]), (["a", None], [0, 1]), (["a"], [-1])])
def test_a_damaged_table_is_refused(tmp_path, keys, ids):
    """A key or an id that stands twice, an empty key and a negative id are one sentence."""
    write_parquet(pa.table({"key": pa.array(keys, pa.string()), "id": pa.array(ids, pa.int32())}), tmp_path / "keys.parquet")
    with pytest.raises(ArtifactError, match="holds a key or an id twice, an empty key, or a negative id"):
        read_keys(tmp_path / "keys.parquet")


def test_a_table_of_other_columns_is_refused(tmp_path):
    """The missing column is named."""
    write_parquet(pa.table({"key": ["a"]}), tmp_path / "keys.parquet")
    with pytest.raises(SchemaError, match="no column 'id'"):
        read_keys(tmp_path / "keys.parquet")
