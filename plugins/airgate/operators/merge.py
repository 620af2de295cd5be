"""Makes one data set of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airgate.hooks.lineage import Lineage


class MergeManifestsOperator(BaseOperator):
    """Gives one manifest over the data sets of several tasks, such as mapped ones; no data is read or copied.

    The manifest names the parts relative to the folder that the data sets have in common, and is written there. The
    columns are united, the counts added up.

    Args:
        data: Manifests: ``extract.output`` of mapped tasks, or a list.
        key: Columns of which no two rows may have the same values, over all data sets; only they are read for it. None
            for no such check.
        allow_twins: Accept data sets of which two hold the very same file.
    """

    template_fields: Sequence[str] = ("data",)
    ui_color = "#e4eccf"

    def __init__(
        self,
        *,
        data: Sequence[Mapping[str, Any]] | Mapping[str, Any] | Any,
        key: Sequence[str] | None = None,
        allow_twins: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data = data
        self.key = key
        self.allow_twins = allow_twins
        self._lineage: Lineage | None = None
        if isinstance(key, str) or key == []:
            raise ValueError(f"task {self.task_id!r}: key must be a list of column names, not {key!r}")

    def execute(self, context: Context) -> dict[str, Any]:
        """Merge and return the manifest."""
        from airgate.data.store.merge import merge_manifests
        from airgate.hooks.lineage import Lineage, folder_of, report_assets
        from airgate.hooks.storage import open_folder
        from airgate.operators.outlets import describe_outlets

        manifests = given_manifests(self.data)
        merged = merge_manifests(manifests, open_folder, key=self.key or (), allow_twins=self.allow_twins)
        self._lineage = Lineage(tuple(map(folder_of, manifests)), (folder_of(merged),))
        report_assets(BaseHook(), inputs=self._lineage.inputs, outputs=self._lineage.outputs)
        self.log.info("%d parts with %d rows; %s", len(merged.parts), merged.written, merged.path)
        describe_outlets(context, self.outlets, merged)
        return merged.to_json()

    def get_openlineage_facets_on_complete(self, task_instance: object) -> object:
        """What OpenLineage's provider asks for, where it is installed."""
        from airgate.hooks.lineage import Lineage, openlineage_of

        return openlineage_of(self._lineage or Lineage())


def given_manifests(data: Any) -> list[Any]:
    """The manifests that a task was given: one, a list, or the results of mapped tasks; skipped tasks have none.

    Raises:
        ValueError: Something else is among them.
    """
    from airgate.data.store.manifest import Manifest

    given = [data] if isinstance(data, (Mapping, str)) else list(data[:])
    return [Manifest.from_json(value) for value in given if value is not None]
