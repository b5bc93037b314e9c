"""The configuration: parameter counts from the model itself, unknown keys, errors."""

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import heads
from tinyalbert.albert import AlbertModel
from tinyalbert.config import AlbertConfig
from tinyalbert.errors import UserError
from tinyalbert.files.checkpoint import write_config
from tinyalbert.info import products_per_token

COUNTS = {"AlbertModel": (11683584, 17683968, 58724864, 222595584),
          "AlbertForMaskedLM": (11221680, 16795824, 54821040, 206368944),
          "AlbertForPreTraining": (11813810, 17847474, 59021490, 223158450),
          "AlbertForSequenceClassification": (11685122, 17686018, 58728962, 222603778),
          "AlbertForTokenClassification": (11099913, 16643593, 54546953, 205851145),
          "AlbertForQuestionAnswering": (11094530, 16636418, 54532610, 205822466),
          "AlbertForMultipleChoice": (11684353, 17684993, 58726913, 222599681)}


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name, version):
    cls = AlbertModel if name == "AlbertModel" else getattr(heads, name)
    labels = 9 if name == "AlbertForTokenClassification" else 2
    got = tuple(cls(AlbertConfig.preset(f"{size}_{version}", num_labels=labels), seed=None).num_parameters()
                for size in ("base", "large", "xlarge", "xxlarge"))
    assert got == COUNTS[name]


@pytest.mark.parametrize("layers", [1, 12, 40])
def test_the_count_does_not_depend_on_the_number_of_layers(layers):
    config = AlbertConfig.preset("base_v2", num_hidden_layers=layers)
    assert AlbertModel(config, seed=None).num_parameters() == 11683584


@pytest.mark.parametrize("size, count", [({}, 109482240), ({"vocab_size": 30000}, 109081344)])
def test_bert_base(size, count):
    assert AlbertModel(AlbertConfig.bert(**size), seed=None).num_parameters() == count


def test_round_trip_keeps_unknown_keys(tmp_path):
    config = AlbertConfig.from_dict({"hidden_size": 16, "down_scale_factor": 1, "net_structure_type": 0})
    write_config(tmp_path, config, "AlbertModel")
    assert AlbertConfig.from_json_file(tmp_path / "config.json").to_dict().items() >= config.to_dict().items()
    assert config.to_dict()["down_scale_factor"] == 1


@pytest.mark.parametrize("wrong", [{"hidden_size": 0}, {"hidden_size": 10}, {"hidden_act": "swish"},
                                   {"hidden_dropout_prob": 1}, {"num_hidden_groups": 9}, {"vocab_size": 1.5},
                                   {"shared_parameters": "some"}, {"embedding_projection": False, "hidden_size": 64},
                                   {"sentence_task": "nps"}, {"projection_groups": 3}, {"pre_norm": 1}])
def test_refusals_name_the_field(wrong):
    with pytest.raises(UserError, match="|".join(wrong)):
        AlbertConfig(**wrong)


@pytest.mark.parametrize("part", [{"pre_norm": True}, {"gated_ffn": True}, {"projection_groups": 4}], ids=str)
def test_a_model_that_is_no_released_albert_is_not_called_one(part, tmp_path):
    """Other libraries would read its config as that of the post-LN model, and its weights for that."""
    for name, values in (("own", part), ("plain", {})):
        write_config(tmp_path, AlbertConfig(**values), "AlbertModel")
        read = AlbertConfig.from_json_file(tmp_path / "config.json")
        kind = json.loads((tmp_path / "config.json").read_text())["model_type"]
        assert (kind, read.own_parts()) == (("tinyalbert", [*part]) if name == "own" else ("albert", []))
        assert all(getattr(read, field) == value for field, value in values.items())


def test_a_projection_in_groups_saves_what_the_groups_say():
    counts = [AlbertModel(AlbertConfig.preset("base_v2", projection_groups=groups), seed=None).num_parameters() for groups in (1, 4)]
    assert counts[0] - counts[1] == (3 * 768 * 768 + 2 * 768 * 3072) * 3 // 4


def test_unreadable_files(tmp_path):
    with pytest.raises(UserError, match="there is no"):
        AlbertConfig.from_json_file(tmp_path / "none.json")
    for text, message in (("{", "not JSON"), ("[1]", "list")):
        (tmp_path / "c.json").write_text(text)
        with pytest.raises(UserError, match=message):
            AlbertConfig.from_json_file(tmp_path / "c.json")
    with pytest.raises(UserError, match="preset 'huge' is unknown"):
        AlbertConfig.preset("huge")


JSON = st.none() | st.booleans() | st.integers(-2, 600) | st.floats() | st.text(max_size=3) | st.lists(
    st.integers(0, 3), max_size=3) | st.dictionaries(st.sampled_from("0123a"), st.text(max_size=3), max_size=3)


@given(st.sampled_from([f.name for f in fields(AlbertConfig)] + ["id2label"]), JSON)
def test_a_damaged_config_is_refused_in_words_or_can_be_used(name, value):
    """Whatever stands in a config.json under a name, there is a UserError at once or names for all labels."""
    try:
        config = AlbertConfig.from_dict({name: value})
    except UserError as error:
        assert name in str(error) or "hidden_size" in str(error) or "num_hidden" in str(error)
    else:
        names = config.id2label
        assert [type(names[i]) for i in range(config.num_labels)] == [str] * len(names)
        config.with_labels(["no", "yes"]).to_dict()


@pytest.mark.parametrize("changes, layers, groups", [({}, 4, 1), ({"num_hidden_layers": 7}, 7, 1), ({"shared_parameters": "none"}, 4, 1),
                                                     ({"inner_group_num": 2}, 8, 1), ({"projection_groups": 4}, 4, 4)])
def test_products_are_those_of_the_matrices_for_each_use(changes, layers, groups):
    """The time of a step does not know of sharing; groups save their share, but not of the heads' mixing or of attention."""
    H, F, E, T = 128, 512, 128, 40
    expected = layers * ((3 * H * H + 2 * H * F) // groups + H * H + 2 * T * H) + E * H
    assert products_per_token(AlbertConfig.preset("mini", **changes), T) == expected
