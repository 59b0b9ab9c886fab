"""*Who sees what*: the halves of the data, who trains on which, and whose labels go where."""

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from w2s_lib.figures.style import GREY, ROLE_COLOURS, Figure, canvas

Point = tuple[float, float]


def who_sees_what(train_pairs: int, test_pairs: int) -> Figure:
    """The experiment as a diagram: data on the left, models in the middle, the test on the right."""
    figure, ax = canvas(8.2, 3.9)
    ax.set(xlim=(0, 10), ylim=(0, 6.4))
    ax.axis("off")

    def box(x: float, y: float, text: str, colour: str, width: float = 2.3) -> None:
        look = {"facecolor": colour + "22", "edgecolor": colour, "linewidth": 1.6}
        ax.add_patch(FancyBboxPatch((x, y), width, 1.0, boxstyle="round,pad=0.06", **look))
        ax.text(x + width / 2, y + 0.5, text, ha="center", va="center", fontsize=10)

    def arrow(start: Point, end: Point, text: str, colour: str, shift: Point = (0, 0.16), bend: float = 0.0) -> None:
        look = {"arrowstyle": "-|>", "mutation_scale": 13, "color": colour, "linewidth": 1.5}
        ax.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", **look))
        middle = ((start[0] + end[0]) / 2 + shift[0], (start[1] + end[1]) / 2 + shift[1])
        ax.text(*middle, text, ha="center", va="bottom", fontsize=9, color=GREY)

    box(0.1, 5.0, f"ground-truth half\n{train_pairs:,} pairs", GREY)
    box(0.1, 2.6, f"weak-label half\n{train_pairs:,} pairs", GREY)
    box(4.2, 5.0, "weak supervisor", ROLE_COLOURS["weak supervisor"])
    box(4.2, 2.6, "strong student", ROLE_COLOURS["strong student"])
    box(4.2, 0.2, "strong ceiling", ROLE_COLOURS["strong ceiling"])
    box(8.0, 2.6, f"test\n{test_pairs:,} pairs", GREY, width=1.8)
    arrow((2.5, 5.5), (4.1, 5.5), "truth", ROLE_COLOURS["weak supervisor"])
    arrow((5.35, 4.9), (5.35, 3.7), "soft labels", ROLE_COLOURS["weak supervisor"], shift=(0.75, -0.1))
    arrow((2.5, 3.1), (4.1, 3.1), "pairs, no truth", ROLE_COLOURS["strong student"])
    same = "the same pairs,\nwith truth"
    arrow((1.25, 2.5), (4.1, 0.7), same, ROLE_COLOURS["strong ceiling"], shift=(-1.35, -0.95), bend=0.25)
    for y in (5.5, 3.1, 0.7):
        arrow((6.6, y), (7.9, 3.1 + (y - 3.1) * 0.13), "scored" if y == 3.1 else "", GREY)
    return Figure(
        figure,
        f"Diagram. The weak supervisor trains on {train_pairs} pairs with ground truth and soft-labels another "
        f"{train_pairs} pairs; the strong student learns from these labels; the strong ceiling learns from the truth "
        f"on the same pairs; all three are scored on {test_pairs} test pairs.",
        "Who sees what. The ceiling differs from the student in its labels alone. "
        "No substance is in two of the three parts.",
    )
