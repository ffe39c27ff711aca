"""What variational autoencoders of histories share: encoder, decoder, ELBO and its annealing.

Shapes: B users, S items of a history, H hidden, Z latent, I items.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class HistoryAutoencoder(nn.Module):
    """Histories as distributions of latent vectors, and back (Liang et al., WWW 2018).

    A subclass makes the parameters; ``steps`` is a buffer, saved so that a resumed run goes on.

    Args:
        dropout: of a history's items while training.
        anneal_steps: training steps until the KL term counts in full.
        beta: what it counts then.
    """

    read_bias: nn.Parameter
    gaussian: nn.Linear
    widen: nn.Linear
    items: nn.Parameter
    items_bias: nn.Parameter
    steps: torch.Tensor

    def __init__(self, dropout: float, anneal_steps: int, beta: float) -> None:
        super().__init__()
        self.dropout, self.anneal_steps, self.most_beta = dropout, anneal_steps, beta

    def read_table(self) -> torch.Tensor:
        """What items are read as, ``[I, H]``."""
        return self.items

    def encode(self, items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance, ``[B, Z]`` each, from items padded with -1, ``[B, S]``."""
        table = self.read_table()
        weights = F.normalize((items >= 0).to(table.dtype), dim=-1)
        weights = F.dropout(weights, self.dropout, self.training)
        hidden = F.embedding_bag(items.clamp(min=0), table, mode="sum", per_sample_weights=weights)
        mean, log_variance = self.gaussian(torch.tanh(hidden + self.read_bias)).chunk(2, dim=-1)
        return mean, log_variance

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """What :attr:`items` are multiplied with, ``[B, H]``."""
        return torch.tanh(self.widen(z))

    def users_loss(self, histories: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """The mean negative ELBO of histories, ``[B, S]``; noise as for :func:`drawn`."""
        mean, log_variance = self.encode(histories)
        latent = drawn(mean, log_variance, noise)
        logits = F.linear(self.decode(latent), self.items, self.items_bias)
        likelihood = logits.float().log_softmax(-1).gather(1, histories.clamp(min=0))
        likelihood = (likelihood * (histories >= 0)).sum(1)
        return (self.beta() * divergence(mean, log_variance) - likelihood).mean()

    def beta(self) -> torch.Tensor:
        """What the KL term counts now; in training each call is a step."""
        found = (self.steps / self.anneal_steps).clamp(max=self.most_beta)
        if self.training:
            self.steps += 1
        return found


def drawn(
    mean: torch.Tensor, log_variance: torch.Tensor, noise: torch.Tensor | None
) -> torch.Tensor:
    """A vector of each normal distribution by standard normal noise; None takes the means."""
    return mean if noise is None else mean + noise.to(mean.dtype) * (log_variance / 2).exp()


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """``KL(N(mean, variance) || N(0, 1))`` of each row, ``float[N]``."""
    mean, log_variance = mean.float(), log_variance.float()
    return (log_variance.exp() + mean.square() - 1 - log_variance).sum(1) / 2
