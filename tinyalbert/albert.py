"""ALBERT's encoder: embeddings, the shared layers, the pooler (Lan et al. 2020, §3.1).

    ids (B, T) -> embeddings (B, T, E) -> E->H projection -> L times the same layer (B, T, H) ->
    pooler (B, H)

Where Google's code and transformers differ, Google's behaviour is the default and a config field
has the other.  Attribute names are the released checkpoints' names.  Taught in lessons 07 to 09.
"""

import numpy as np

from . import ops
from .arguments import as_inputs, batch_shape, check_range
from .attention import AlbertAttention, padding_bias
from .backend import device_of
from .config import AlbertConfig
from .errors import UserError
from .nn import Dropout, Embedding, LayerNorm, Linear, Module, ResidualNorm, projection
from .transfer import to_device_together

ACTIVATIONS = {
    "gelu_new": ops.gelu,
    "gelu": ops.gelu_erf,
    "relu": ops.relu,
    "tanh": ops.tanh,
    "linear": lambda x: x,
}


class ModelOutput:
    """Outputs of a model as attributes, in transformers' names.

    A value that was not asked for, such as attentions, is None.
    """

    def __init__(self, **values):
        vars(self).update(values)

    def __getattr__(self, name):  # only called for what is not there
        raise AttributeError(f"this output has no {name}; it has {', '.join(self.keys())}")

    def keys(self):
        """The names of the values."""
        return [name for name in vars(self) if not name.startswith("_")]

    def __getitem__(self, name):
        return getattr(self, name)


class AlbertEmbeddings(Module):
    """Word + segment + position vectors, all of width E, then layer norm and dropout.

    (B, T) -> (B, T, E).
    """

    def __init__(self, rng, config):
        E, std = config.embedding_size, config.initializer_range
        self.word_embeddings = Embedding(rng, config.vocab_size, E, std)  # (V, E)
        self.position_embeddings = Embedding(rng, config.max_position_embeddings, E, std)
        self.token_type_embeddings = Embedding(rng, config.type_vocab_size, E, std)
        self.LayerNorm = LayerNorm(E, config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids=None, token_type_ids=None, inputs_embeds=None, rng=None):
        words = (
            self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        )  # (B, T, E)
        T, longest = words.shape[1], self.position_embeddings.weight.shape[0]
        if T > longest:
            raise UserError(
                f"sequences of {T} tokens, but the model has positions for {longest}; cut the "
                f"input "
                "(max_length) or train with a larger max_position_embeddings"
            )
        positions = self.position_embeddings.weight[:T]  # (T, E)
        if token_type_ids is None:
            types = self.token_type_embeddings.weight[0]
        else:
            types = self.token_type_embeddings(token_type_ids)  # (B, T, E)
        return self.dropout(self.LayerNorm(words + types + positions), rng)


class AlbertLayer(Module):
    """Attention and feed-forward, each added to its input, the sum then normalised (post-LN).

    With pre_norm the input of each is normalised, not the sum.
    """

    def __init__(self, rng, config):
        H, F, std = config.hidden_size, config.intermediate_size, config.initializer_range
        groups = config.projection_groups
        self.full_layer_layer_norm = ResidualNorm(H, config.layer_norm_eps, config.pre_norm)
        self.attention = AlbertAttention(rng, config)
        self.ffn = projection(rng, H, F, std, groups)
        self.ffn_output = projection(rng, F, H, std, groups)
        self.ffn_gate = projection(rng, H, F, std, groups) if config.gated_ffn else None
        self.dropout = Dropout(config.hidden_dropout_prob if config.ffn_dropout else 0.0)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, hidden, bias=None, rng=None, output_attentions=False):
        """(B, T, H) -> (B, T, H), and the attention weights (B, N, T, T) or None."""
        attended, weights = self.attention(hidden, bias, rng, output_attentions)
        norm = self.full_layer_layer_norm
        inner = self.expand(norm.before(attended))  # (B, T, F)
        # dropout(ffn_output(inner)), added to `attended` and normalised
        return norm.around(inner, self.ffn_output, self.dropout, attended, rng), weights

    def expand(self, x):
        """The first half of the feed-forward: (..., H) -> (..., F)."""
        if self.activation is ops.gelu and isinstance(self.ffn, Linear):
            inner = ops.linear_gelu(x, self.ffn.weight, self.ffn.bias)
        else:
            inner = self.activation(self.ffn(x))
        return inner if self.ffn_gate is None else inner * self.ffn_gate(x)


class AlbertLayerGroup(Module):
    """One parameter set: inner_group_num layers, applied one after the other."""

    def __init__(self, rng, config):
        self.albert_layers = [AlbertLayer(rng, config) for _ in range(config.inner_group_num)]

    def share_with(self, first, part):
        """Use the first group's attention, or its feed-forward half, instead of this group's."""
        names = (
            ("attention",)
            if part == "attention"
            else ("ffn", "ffn_output", "ffn_gate", "full_layer_layer_norm")
        )
        for own, shared in zip(self.albert_layers, first.albert_layers):
            for name in names:
                setattr(own, name, getattr(shared, name))


class AlbertEncoder(Module):
    """E->H projection, then L layers with G sets of parameters.

    Layer i uses set floor(i G / L).  With G = 1 every layer is the same layer; the gradient of its
    parameters is the sum over its uses, which the reverse sweep gives without any code here.
    """

    def __init__(self, rng, config):
        self.num_layers, self.num_groups = config.num_hidden_layers, config.num_hidden_groups
        self.embedding_hidden_mapping_in = None
        if config.embedding_projection:
            self.embedding_hidden_mapping_in = Linear(
                rng, config.embedding_size, config.hidden_size, config.initializer_range
            )
        self.albert_layer_groups = [AlbertLayerGroup(rng, config) for _ in range(self.num_groups)]
        self.final_layer_norm = None
        if config.pre_norm:  # after the last sum, which nothing else normalises
            self.final_layer_norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        if config.shared_parameters in ("attention", "ffn"):
            for group in self.albert_layer_groups[1:]:
                group.share_with(self.albert_layer_groups[0], config.shared_parameters)

    def layers(self):
        """The layers in the order of their use; a shared layer appears once for each use."""
        return [
            layer
            for i in range(self.num_layers)
            for layer in self.albert_layer_groups[
                i * self.num_groups // self.num_layers
            ].albert_layers
        ]

    def project(self, embedded):
        """(B, T, E) -> (B, T, H); the embeddings themselves in a model without the projection."""
        projection = self.embedding_hidden_mapping_in
        return embedded if projection is None else projection(embedded)

    def finish(self, hidden):
        """What the heads read of the last layer's states: with pre_norm their layer norm."""
        return hidden if self.final_layer_norm is None else self.final_layer_norm(hidden)

    def forward(self, embedded, bias=None, rng=None, output_attentions=False):
        """The hidden states and the attention weights of all layers.

        (B, T, E) -> hidden states [(B, T, H)] * (layers + 1), the projection first, the last one
        finished; attention weights.
        """
        hidden = self.project(embedded)  # (B, T, H)
        states, attentions = [hidden], []
        for layer in self.layers():
            hidden, weights = layer(hidden, bias, rng, output_attentions)
            states.append(hidden)
            attentions.append(weights)
        states[-1] = self.finish(states[-1])
        return states, attentions


class PreTrainedModel(Module):
    """What every model has: a config, and loading from and saving to Hugging Face folders."""

    def save_pretrained(self, folder, tokenizer=None):
        """Write config.json and model.safetensors (and the tokenizer's files) into `folder`."""
        from .files.checkpoint import save_pretrained

        save_pretrained(self, folder, tokenizer)

    @classmethod
    def from_pretrained(cls, folder, config=None, seed=0, **changes):
        """A model of this class with the weights of `folder`; `changes` override config fields.

        Parameters that the folder lacks (the head, when a pretrained encoder is fine-tuned) start
        random and are named in a warning; `.restore_report` has the whole list.
        """
        from .files.checkpoint import from_pretrained

        return from_pretrained(cls, folder, config=config, seed=seed, **changes)

    def device(self):
        """ "cpu" or "gpu"."""
        return device_of(self.parameters()[0].data)

    def checked(self, input_ids, attention_mask, token_type_ids, *more):
        """The inputs, checked, and more arrays (or None), on the model's device.

        To a GPU all of them go as one copy.
        """
        ids, mask, types = as_inputs(input_ids, attention_mask, token_type_ids)
        if ids is not None:
            own = ": was the text encoded with this model's own tokenizer?"
            check_range("input_ids", ids, 0, self.config.vocab_size - 1, own)
        if mask is not None:
            check_range("attention_mask", mask, 0, 1)
        if types is not None:
            check_range("token_type_ids", types, 0, self.config.type_vocab_size - 1)
        return to_device_together([ids, mask, types, *more], self.device())


class AlbertModel(PreTrainedModel):
    """The encoder: token ids to one vector a token and, through the pooler, one a sequence."""

    def __init__(self, config=None, seed=0, add_pooling_layer=True, rng=None):
        self.config = config = config or AlbertConfig()
        if rng is None and seed is not None:  # seed None: shapes only, no values
            rng = np.random.default_rng(seed)
        self.embeddings = AlbertEmbeddings(rng, config)
        self.encoder = AlbertEncoder(rng, config)
        self.pooler = None
        if add_pooling_layer:
            self.pooler = Linear(
                rng, config.hidden_size, config.hidden_size, config.initializer_range
            )

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        inputs_embeds=None,
        output_hidden_states=False,
        output_attentions=False,
        rng=None,
    ):
        """input_ids (B, T) -> last_hidden_state (B, T, H), pooler_output (B, H) or None.

        attention_mask (B, T): 1 = token, 0 = padding (all 1 if None).  token_type_ids (B, T):
        segment of each token (all 0 if None).  hidden_states: L + 1 arrays, the E->H projection
        first.  attentions: the weights (B, N, T, T) of each layer.  rng: a DropoutRng, needed in
        training mode with dropout.
        """
        inputs = self.checked(input_ids, attention_mask, token_type_ids)
        batch_shape(inputs[0], inputs_embeds)
        return self.encode(*inputs, inputs_embeds, output_hidden_states, output_attentions, rng)

    def encode(
        self,
        input_ids,
        attention_mask,
        token_type_ids,
        inputs_embeds=None,
        output_hidden_states=False,
        output_attentions=False,
        rng=None,
    ):
        """`forward` for inputs that are checked and on the model's device already."""
        with self.reading():
            embedded = self.embeddings(input_ids, token_type_ids, inputs_embeds, rng)  # (B, T, E)
            bias = None if attention_mask is None else padding_bias(attention_mask, embedded.dtype)
            states, attentions = self.encoder(embedded, bias, rng, output_attentions)
            last = states[-1]  # (B, T, H)
            pooled = self.pool(last)  # (B, H)
        return ModelOutput(
            last_hidden_state=last,
            pooler_output=pooled,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
        )

    def pool(self, hidden):
        """One vector per sequence, computed from its first token.

        (B, T, H) -> (B, H); None without a pooler.
        """
        return None if self.pooler is None else ops.tanh(self.pooler(hidden[:, 0]))
