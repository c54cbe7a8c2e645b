"""Lazy steps on a cluster: inputs go there as Parquet, the answer comes back; what could mean something else there runs here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from payoff.execute.context import Context


def transform(context: Context, sql: str, names: Mapping[str, str], files: Mapping[str, Path], output: Path) -> bool:
    """Run a query on the project's cluster, if it has one and it means the same there; False when it is still to be run here.

    `names` maps each table of the query to the artifact it stands for.
    """
    cluster = context.kit.cluster
    if cluster is None:
        return False
    from payoff.data.push.queries import translate
    from payoff.data.push.rules import Unlike, kind_of

    kinds = {name: {f.name: kind_of(f.type) for f in context.artifacts[of].fields} for name, of in names.items()}
    try:
        translated = translate(sql, kinds, cluster.place().dialect)
    except Unlike:
        return False
    engine = context.kit.engine
    schema: Any = engine.query(f"select * from (\n{sql}\n) limit 0", files).schema
    handed = {}
    for name in translated.tables:
        given = next(each for each in names if each.lower() == name)
        handed[name] = cluster.exchange() / f"{context.content(names[given]).replace(':', '-')}.parquet"
        if not handed[name].exists():
            engine.transform(f'select * from "{given}"', {given: files[given]}, handed[name])
    reader = cluster.run(translated.sql, handed, schema)
    try:
        engine.write(reader, output)
    finally:
        reader.close()
    return True
