import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timemodel.tree.compiled import BLOCK_ROWS, CompiledTree, TreeNode


def leaf(*coefficients):
    return TreeNode(coefficients=np.array(coefficients, dtype=float))


def split(feature, left, right, threshold=0.0, modulus=0):
    return TreeNode(feature, threshold, modulus, left, right, np.zeros(3))


# Column 0 up to 10: 1 + 2 x0. Else, column 1 a multiple of 4: 5; else 3 x1.
TREE = [
    split(0, 1, 2, threshold=10.0),
    leaf(1, 2, 0),
    split(1, 3, 4, modulus=4),
    leaf(5, 0, 0),
    leaf(0, 0, 3),
]
ROWS = np.array([[10.0, 3.0], [11.0, 8.0], [11.0, 7.0]])
VALUES = [21.0, 5.0, 21.0]


def test_each_row_gets_its_leafs_value():
    tree = CompiledTree(TREE, [0, 1], scale=1.0)
    assert tree.predict(ROWS.T).tolist() == VALUES
    assert tree.leaves(ROWS.T).tolist() == [1, 3, 4]


def test_scale_multiplies_every_value():
    assert CompiledTree(TREE, [0, 1], scale=0.5).predict(ROWS.T).tolist() == [v / 2 for v in VALUES]


@pytest.mark.parametrize("row", range(3))
def test_one_row_alone_is_predicted_as_among_others(row):
    assert CompiledTree(TREE, [0, 1], 1.0).predict(ROWS[row : row + 1].T).tolist() == [VALUES[row]]


def test_no_rows_no_values():
    assert CompiledTree(TREE, [0, 1], 1.0).predict(np.zeros((2, 0))).shape == (0,)


def walk(nodes, row):
    """One row handed down node by node: what the groups must agree with."""
    node = nodes[0]
    while node.feature >= 0:
        value = row[node.feature]
        left = value % node.modulus == 0 if node.modulus else value <= node.threshold
        node = nodes[node.left if left else node.right]
    return node.coefficients[0] + node.coefficients[1:] @ row


@st.composite
def trees(draw):
    nodes = [leaf(*draw(st.tuples(*[st.floats(0, 9)] * 3)))]
    for _ in range(draw(st.integers(0, 7))):
        at = draw(st.sampled_from([i for i, node in enumerate(nodes) if node.feature < 0]))
        nodes[at] = split(
            draw(st.integers(0, 1)),
            len(nodes),
            len(nodes) + 1,
            threshold=draw(st.integers(0, 20)),
            modulus=draw(st.sampled_from([0, 0, 2, 3])),
        )
        nodes += [leaf(*draw(st.tuples(*[st.floats(0, 9)] * 3))) for _ in range(2)]
    return nodes


@settings(max_examples=60)
@given(trees(), st.integers(0, 1000))
def test_groups_of_rows_go_where_each_goes_alone(nodes, seed):
    rows = np.random.default_rng(seed).integers(0, 22, (50, 2)).astype(float)
    tree = CompiledTree(nodes, [0, 1], 1.0)
    assert np.allclose(tree.predict(rows.T), [walk(nodes, row) for row in rows], rtol=1e-12, atol=0)


def test_a_batch_of_several_blocks_is_each_layers_time(time_model):
    from profiler import operators
    from timemodel.features import geometry

    layers = [operators.conv_2d(9, 9, 3 + i, 8 + i) for i in range(7)]
    alone = time_model.predict_layers_ms(layers)
    rows = np.tile(geometry(layers), (2 * BLOCK_ROWS // 7 + 5, 1))
    model = time_model.setting().operators["conv_2d", "float32"]
    times = model.predict_ms(rows) - time_model.setting().terms.overhead_ms
    assert len(times) > 2 * BLOCK_ROWS
    assert np.allclose(times, np.resize(alone, len(times)), rtol=1e-12)
