"""Tables moved row by row: Adam with one second moment a row, of the rows of a batch."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from torch.nn import functional as F

from edgewise.training.rows import RowAdamW, clip_norm

RATE, DECAY = 0.1, 0.5


def table_and_matrix() -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
    torch.manual_seed(0)
    return torch.nn.Parameter(torch.randn(6, 3)), torch.nn.Parameter(torch.randn(3, 3))


def loss_of(table, matrix, rows, sparse=True):
    return (F.embedding(torch.tensor(rows), table, sparse=sparse) @ matrix).square().sum()


def test_rows_of_the_batch_move_by_their_own_adam():
    table, matrix = table_and_matrix()
    optimizer = RowAdamW([table, matrix], lr=RATE, weight_decay=DECAY, fused=True)
    twin = torch.nn.Parameter(matrix.detach().clone())
    plain = torch.optim.AdamW([twin], lr=RATE, weight_decay=DECAY, fused=True)
    wanted = table.detach().double().clone()
    first, second, count = torch.zeros(6, 3).double(), torch.zeros(6).double(), [0] * 6
    for rows in ([1, 4, 1], [4], [0, 1]):
        loss_of(table, matrix, rows).backward()
        slope = table.grad.to_dense().double()
        loss_of(table.detach(), twin, rows).backward()
        optimizer.step()
        plain.step()
        for row in set(rows):
            count[row] += 1
            first[row] = 0.9 * first[row] + 0.1 * slope[row]
            second[row] = 0.999 * second[row] + 0.001 * slope[row].square().mean()
            mean = first[row] / (1 - 0.9 ** count[row])
            size = math.sqrt(second[row] / (1 - 0.999 ** count[row])) + 1e-8
            wanted[row] -= RATE * (mean / size + DECAY * wanted[row])
        torch.testing.assert_close(table.detach().double(), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(matrix, twin)
        optimizer.zero_grad()
        plain.zero_grad()
    assert count == [1, 2, 0, 0, 2, 0]


def test_its_state_can_be_kept():
    table, matrix = table_and_matrix()
    optimizer = RowAdamW([table, matrix], lr=RATE)
    loss_of(table, matrix, [2, 3]).backward()
    optimizer.step()
    kept = [each.detach().clone() for each in (table, matrix)]
    others = [torch.nn.Parameter(each.clone()) for each in kept]
    again = RowAdamW(others, lr=RATE)
    again.load_state_dict(deepcopy(optimizer.state_dict()))
    for own, (first, second) in ((optimizer, (table, matrix)), (again, others)):
        own.zero_grad()
        loss_of(first, second, [3, 5]).backward()
        own.step()
    assert torch.equal(table, others[0]) and torch.equal(matrix, others[1])


@pytest.mark.parametrize("most", [0.5, 1e9])
def test_clipping_is_that_of_dense_gradients(most):
    table, matrix = table_and_matrix()
    loss_of(table, matrix, [1, 4, 1], sparse=False).backward()
    torch.nn.utils.clip_grad_norm_([table, matrix], most)
    wanted = [each.grad.clone() for each in (table, matrix)]
    table.grad = matrix.grad = None
    loss_of(table, matrix, [1, 4, 1]).backward()
    clip_norm([table, matrix, torch.nn.Parameter(torch.ones(1))], most)
    assert table.grad.is_sparse
    torch.testing.assert_close(table.grad.to_dense(), wanted[0])
    torch.testing.assert_close(matrix.grad, wanted[1])
