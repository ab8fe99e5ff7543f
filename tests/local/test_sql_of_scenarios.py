"""The SQL of a scenario, which may come from anybody, reaches no program and no file of the machine."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest

from local.cloud import Cloud
from local.scenario.format import AtStart, Cluster
from local.scenario.prepare import prepare


@pytest.mark.parametrize(
    "statements",
    [
        ["COPY (SELECT 1) TO PROGRAM 'cat > {made}'"],
        ["COPY (SELECT 1) TO '{made}'"],
        ["GRANT pg_execute_server_program TO postgres", "COPY (SELECT 1) TO PROGRAM 'cat > {made}'"],
        ["GRANT pg_write_server_files TO postgres", "COPY (SELECT 1) TO '{made}'"],
        ["ALTER ROLE postgres SUPERUSER"],
        ["CREATE ROLE mighty SUPERUSER"],
        ["SET SESSION AUTHORIZATION rdsadmin"],
        ["GRANT rdsadmin TO postgres"],
        ["SELECT lo_export(lo_from_bytea(0, 'x'), '{made}')"],
        ["SELECT pg_read_file('/etc/passwd')"],
        ["CREATE LANGUAGE plperlu"],
        ["CREATE EXTENSION file_fdw"],
        ["ALTER SYSTEM SET archive_command = 'cat > {made}'"],
        ["CREATE FUNCTION f(text) RETURNS int LANGUAGE c AS '/lib/libc.so.6', 'system'"],
    ],
)
def test_it_runs_nothing_on_the_machine(tmp_path: Path, statements: list[str]) -> None:
    tmp_path.chmod(0o777)
    made = tmp_path / "made"
    with Cloud() as cloud:
        sql = [each.format(made=made) for each in statements]
        prepare(cloud, AtStart(clusters=[Cluster(id="orders", sql=sql)]))
        with pytest.raises(psycopg2.Error):
            cloud.databases.start("orders")
    assert not made.exists()
