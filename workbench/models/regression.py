"""A small transformer that reads pairs x, y as vectors and predicts each y; trained here, it needs no hooks."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RegressionTransformer(nn.Module):
    """Causal, pre-norm, GELU, learned positions; tokens alternate between [0, x] and [y, 0] (Akyürek et al. 2022).

    What it answers at the token of x_i is its prediction of y_i from the i pairs before.
    """

    def __init__(self, size: int, pairs: int, layers: int, width: int = 64, heads: int = 2) -> None:
        super().__init__()
        self.size, self.pairs = size, pairs
        self.read = nn.Linear(size + 1, width)
        self.positions = nn.Parameter(torch.randn(2 * pairs, width) * 0.02)
        block = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.answer = nn.Linear(width, 1)

    def forward(self, x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """The prediction of every y."""
        return self.predict(self.hidden(x, y)[-1])

    def hidden(self, x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"]) -> list[Float[Tensor, "b t w"]]:
        """The residual stream before the first block and after every block; t = 2 n tokens."""
        stream = self.read(_tokens(x, y)) + self.positions[: 2 * x.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(stream.shape[1], device=stream.device)
        found = [stream]
        for block in self.blocks.layers:
            stream = block(stream, src_mask=mask, is_causal=True)
            found.append(stream)
        return found

    def predict(self, stream: Float[Tensor, "b t w"]) -> Float[Tensor, "b n"]:
        """The answers read from the last residual stream, at the tokens of x."""
        assert self.blocks.norm is not None
        return self.answer(self.blocks.norm(stream[:, ::2]))[..., 0]

    def query(
        self, x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"], queries: Float[Tensor, "b m d"]
    ) -> Float[Tensor, "b m"]:
        """Predictions at queries, each asked on its own behind the context (n below `pairs`)."""
        (b, n, d), m = x.shape, queries.shape[1]
        asked = torch.cat([x[:, None].expand(b, m, n, d), queries[:, :, None]], 2).flatten(0, 1)
        told = torch.cat([y[:, None].expand(b, m, n), y.new_zeros(b, m, 1)], 2).flatten(0, 1)
        return self(asked, told)[:, -1].reshape(b, m)

    def loss(self, batch: tuple[Tensor, Tensor], share: float) -> Mapping[str, Tensor]:
        """Mean squared error over all answers."""
        x, y = batch
        return {"loss": (self(x, y) - y).square().mean()}


def _tokens(x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"]) -> Float[Tensor, "b t e"]:
    b, n, d = x.shape
    tokens = x.new_zeros(b, n, 2, d + 1)
    tokens[:, :, 0, 1:], tokens[:, :, 1, 0] = x, y
    return tokens.flatten(1, 2)
