"""What the command line does with habits, terminals and folders as people have them."""

import pytest

from actionclip.errors import ActionCLIPError
from sample_videos import write_video


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        ("classify film.mp4 --labels running --labels walking", "--labels"),
        ("classify film.mp4 --labels a,b --reject nothing --reject noise", "--reject"),
        ("timeline film.mp4 --labels=running --model tiny --labels walking", "--labels"),
        ("stream film.mp4 --labels running --labels walking", "--labels"),
        ("eval tiny --data set --out results --labels running --labels walking", "--labels"),
        ("calibrate tiny --data set --labels running --labels walking", "--labels"),
        ("convert weights.pt folder --labels running --labels walking", "--labels"),
    ],
)
def test_words_that_would_be_forgotten_are_refused(command_line, verb, option):
    """Of options given twice the last one counts: the first words would not be asked about."""
    with pytest.raises(ActionCLIPError, match=f"{option} was given more than once") as refused:
        command_line(*verb.split())

    assert "between commas" in refused.value.expected


def test_templates_are_given_several_times(command_line, tmp_path):
    write_video(tmp_path / "film.mp4", seed=0)

    answered = command_line(
        *("classify", "film.mp4", "--labels", "walking, running", "--model", "tiny"),
        *("--template", "a person {}", "--template", "someone is {}"),
    )

    assert answered.exit_code == 0
