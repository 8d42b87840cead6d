"""What a training run left: its folder, the classifier, and how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..audit import Audit
from ..evaluation import Evaluation, Mistake, Mistakes, curves_chart
from ..evaluation.notebook import Figure, evaluation_html, search_figure, training_figure
from .train_record import Classifier, head_record

__all__ = ["Run"]


@dataclass(frozen=True, repr=False)
class Run:
    """What a training run left. A notebook shows it as the head of its report.

    Parameters
    ----------
    folder : Path
        The run directory.
    classifier : ImageClassifier or FineTunedClassifier
        Fitted on the training photos.
    evaluation : Evaluation or None
        On the test photos; None where there are too few photos to hold any out.
    warnings : list of str
        What to know before relying on it, in plain sentences, gravest first.
    unreadable : list of (str, str)
        Id and reason of each photo that was left out.
    seconds : dict of str to float
        Time of each step.
    audit : Audit
        In short: contradictions, labels in doubt and bursts.
    mistaken : list of Mistake
        What `mistakes` shows.
    """

    folder: Path
    classifier: Classifier
    evaluation: Evaluation | None
    warnings: list[str]
    unreadable: list[tuple[str, str]]
    seconds: dict[str, float]
    audit: Audit
    mistaken: Sequence[Mistake] = ()

    def mistakes(self) -> Mistakes:
        """The test photos that were misclassified, the most confident first, 24 at most.

        Returns
        -------
        Mistakes
            A list of `Mistake`, which a notebook shows as pictures: the photo, where the evidence for the
            wrong answer lies, and the training photos most like it.
        """
        return Mistakes(self.mistaken)

    def curves(self) -> Figure:
        """How the classifier came about, as charts that a notebook shows.

        Of a network that was trained: loss and accuracy of each epoch. A head on a frozen network has no
        epochs; of it, the cross-validated log loss of all that were tried, against the penalty's strength.
        """
        training = self.classifier.training_
        if not training:
            return search_figure(head_record(self.classifier)["path"])
        curves = training["curves"]
        charts = [curves_chart(curves, quantity) for quantity in ("loss", "accuracy")]
        return training_figure(charts, training.get("sentence"))

    def __repr__(self) -> str:
        said = self.evaluation.sentence if self.evaluation else "no photo was held out for testing"
        return f"<Run {self.folder}: {said}>"

    def _repr_html_(self) -> str:
        facts: dict[str, str | int] = {
            "Classes": len(self.classifier.classes_),
            "Trained on": len(self.classifier.fitted_.trained_on.paths),
            "Report": str(self.folder / "report.html"),
        }
        title = str(self.folder)
        return evaluation_html(self.evaluation, title=title, warnings=self.warnings, facts=facts)

    @property
    def summary(self) -> list[str]:
        """What was read, in sentences."""
        return self.audit.dataset.summary()
