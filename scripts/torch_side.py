"""PyTorch's side of the benchmark: transformers' ALBERT, and one written for PyTorch's speed.

Each function that returns a function builds a model first; torch is imported there, in the process
that needs it."""

from importlib import metadata

from tinyalbert.training.replicas import physical_cores


def versions():
    """{"torch": ..., "transformers": ...}, {} unless both are installed; imports neither."""
    try:
        return {name: metadata.version(name) for name in ("torch", "transformers")}
    except metadata.PackageNotFoundError:
        return {}


def _waiting(step, device):
    """`step`, returning only when a GPU is done with it."""
    import torch

    def run():
        step()
        torch.cuda.synchronize()

    return run if device == "cuda" else step


def _tensors(batch, device):
    import torch

    return {name: torch.tensor(a).long().to(device) for name, a in batch.items()}


def transformers_model(kind, config):
    """transformers' model of the same size with random weights."""
    import torch
    import transformers

    torch.set_num_threads(physical_cores())
    transformers.logging.set_verbosity_error()
    names = transformers.AlbertConfig().to_dict()
    theirs = transformers.AlbertConfig(**{k: v for k, v in config.to_dict().items() if k in names})
    return getattr(transformers, kind)(theirs)


def transformers_steps(
    config, batches, kind="AlbertForPreTraining", device="cpu", precision="fp32"
):
    """A function that does one AdamW step of transformers' model for each batch.

    precision: "fp32", or "bf16" by torch.autocast.
    """
    import torch

    model = transformers_model(kind, config).train().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def steps():
        for batch in batches:
            optimizer.zero_grad()
            with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16"):
                loss = model(**_tensors(batch, device)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return _waiting(steps, device)


def transformers_predict(config, batches):
    """A function that classifies each batch with transformers' model."""
    import torch

    model = transformers_model("AlbertForSequenceClassification", config).eval()

    def run():
        with torch.no_grad():
            for batch in batches:
                model(**_tensors(batch, "cpu"))

    return run


def lean_step(config, batch, compiled=None, device="cpu", precision="fp32"):
    """One step of an ALBERT written for PyTorch's speed: logits at masked places only, fused GELU
    and attention.

    compiled: None, or a mode of torch.compile: "default", or "reduce-overhead", which captures CUDA
    graphs.  precision: as tinyalbert's; 16 bits by torch.autocast, with a GradScaler for fp16.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.set_num_threads(physical_cores())
    nn, F = torch.nn, torch.nn.functional

    class Lean(nn.Module):
        def __init__(self, c):
            super().__init__()
            E, H, I = c.embedding_size, c.hidden_size, c.intermediate_size
            self.heads, self.layers, self.p = (
                c.num_attention_heads,
                c.num_hidden_layers,
                c.hidden_dropout_prob,
            )
            self.words, self.types = nn.Embedding(c.vocab_size, E), nn.Embedding(2, E)
            self.places = nn.Embedding(c.max_position_embeddings, E)
            self.norm0, self.norm1, self.norm2, self.norm3 = (
                nn.LayerNorm(n, 1e-12) for n in (E, H, H, E)
            )
            self.widen, self.qkv, self.out = nn.Linear(E, H), nn.Linear(H, 3 * H), nn.Linear(H, H)
            self.up, self.down, self.pool, self.order = (
                nn.Linear(*s) for s in ((H, I), (I, H), (H, H), (H, 2))
            )
            self.narrow, self.bias = nn.Linear(H, E), nn.Parameter(torch.zeros(c.vocab_size))
            for module in self.modules():
                if isinstance(module, (nn.Linear, nn.Embedding)):
                    nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)

        def forward(self, ids, types, positions, labels, order):
            B, T = ids.shape
            h = self.widen(
                F.dropout(
                    self.norm0(self.words(ids) + self.types(types) + self.places.weight[:T]), self.p
                )
            )
            for _ in range(self.layers):
                q, k, v = (
                    x.view(B, T, self.heads, -1).transpose(1, 2) for x in self.qkv(h).chunk(3, -1)
                )
                a = (
                    F.scaled_dot_product_attention(q, k, v, dropout_p=self.p)
                    .transpose(1, 2)
                    .reshape(B, T, -1)
                )
                h = self.norm1(F.dropout(self.out(a), self.p) + h)
                f = self.down(F.gelu(self.up(h), approximate="tanh"))
                h = self.norm2(F.dropout(f, self.p) + h)
            masked = self.norm3(
                F.gelu(self.narrow(h.view(B * T, -1)[positions]), approximate="tanh")
            )
            return F.cross_entropy(
                F.linear(masked, self.words.weight, self.bias), labels
            ) + F.cross_entropy(self.order(torch.tanh(self.pool(h[:, 0]))), order)

    model = Lean(config).train().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    run = torch.compile(model, mode=compiled) if compiled else model
    tensors = _tensors(batch, device)
    flat = tensors["labels"].view(-1)
    positions = torch.nonzero(flat != -100)[:, 0]
    arguments = (
        tensors["input_ids"],
        tensors["token_type_ids"],
        positions,
        flat[positions],
        tensors["sentence_order_label"],
    )

    half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)
    scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")

    def step():
        optimizer.zero_grad()
        if compiled == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()  # the last step's outputs may be overwritten
        with torch.autocast(device, dtype=half, enabled=half is not None):
            loss = run(*arguments)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()

    return _waiting(step, device)
