"""The shapes of blocks: little padding, and one shape for numbers of data that are nearly the same."""

from hypothesis import given, settings, strategies as st

from diffphys.targets._blocks import block_shape

COUNTS, BLOCKS = st.integers(2, 3_000_000), st.integers(1, 4096)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(count=COUNTS, block=BLOCKS)
def test_blocks_hold_all_points_and_waste_at_most_a_sixteenth_and_a_row_of_sixteen_each(count, block):
    number, length = block_shape(count, block)
    assert 1 <= length <= block
    assert length % 16 == 0 or length == block or block < 16
    assert count <= number * length <= count + count / 16 + 16 * number


@settings(max_examples=300, deadline=None, derandomize=True)
@given(digits=st.integers(17, 30), zeros=st.integers(0, 16), block=BLOCKS, share=st.floats(0, 1))
def test_numbers_that_round_up_to_the_same_five_binary_digits_or_blocks_have_one_shape(digits, zeros, block, share):
    step = min(block, 1 << zeros)
    top = ((digits << zeros) // step + 1) * step
    count = top - int(share * (step - 1))
    assert block_shape(count, block) == block_shape(top, block)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(count=COUNTS, most=COUNTS, block=BLOCKS)
def test_with_the_places_of_more_points_the_shape_is_theirs(count, most, block):
    assert block_shape(min(count, most), block, max(count, most)) == block_shape(max(count, most), block)
    number, length = block_shape(most, block)
    if number == 1:
        assert block_shape(min(count, length), length, length) == (1, length)


def test_a_sixteenth_more_points_have_another_shape():
    """Else the padding would be more than it need be."""
    assert [block_shape(n, 1024) for n in (352, 353, 368, 369)] == [(1, 352), (1, 368), (1, 368), (1, 384)]
    assert block_shape(60_000, 1024) == (59, 1024)


def test_a_single_point_has_a_shape_of_its_own():
    assert [block_shape(n, 8) for n in (1, 2)] == [(1, 1), (1, 8)]
    assert block_shape(1, 1) == (1, 1) != block_shape(2, 1)
