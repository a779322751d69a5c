"""The log of predictions: whole lines, and none lost by a killed process."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from fairtrial.errors import StorageError, UsageError
from fairtrial.serving import FeatureLog, PredictionLog, read_log
from fairtrial.serving.log import LogTail, file_stem
from fairtrial.serving.records import new_prediction_id


def test_rows_come_back_in_order(tmp_path):
    log = PredictionLog(tmp_path, "fraud")
    for i in range(3):
        log.append({"n": i, "text": "Zażółć\n💳"})
    log.sync()
    log.close()
    log.close()
    read = read_log(tmp_path)
    assert [row["n"] for row in read.rows] == [0, 1, 2]
    assert read.rows[0]["text"] == "Zażółć\n💳"
    assert read.broken == 0


def test_two_logs_of_one_process_write_two_files(tmp_path):
    first, second = PredictionLog(tmp_path, "a"), PredictionLog(tmp_path, "a")
    first.append({"n": 1})
    second.append({"n": 2})
    assert first.path != second.path
    assert sorted(row["n"] for row in read_log(tmp_path).rows) == [1, 2]


def test_what_json_cannot_hold_is_refused(tmp_path):
    log = PredictionLog(tmp_path, "a")
    with pytest.raises(UsageError, match="holds what JSON can"):
        log.append({"x": object()})
    assert read_log(tmp_path).rows == []


def test_a_closed_log_takes_nothing(tmp_path):
    log = PredictionLog(tmp_path, "a")
    log.close()
    with pytest.raises(StorageError, match="is closed"):
        log.append({"n": 1})


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        PredictionLog(tmp_path / "file" / "deeper", "a")


def test_there_is_no_log_where_there_is_no_folder(tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        read_log(tmp_path / "nowhere")


def test_a_half_line_spoils_itself_alone(tmp_path):
    log = PredictionLog(tmp_path, "a")
    log.append({"n": 1})
    with log.path.open("ab") as file:
        file.write(b'{"n": 2, "half')
    read = read_log(tmp_path)
    assert ([row["n"] for row in read.rows], read.broken) == ([1], 1)


def test_a_full_disk_is_an_error_and_leaves_whole_lines(tmp_path):
    """RLIMIT_FSIZE stands for the full disk: the write comes back short or fails."""
    code = textwrap.dedent("""
        import resource, signal, sys
        from fairtrial.serving import PredictionLog
        from fairtrial.errors import StorageError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = PredictionLog(sys.argv[1], "a")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        kept = failed = 0
        for i in range(100):
            try:
                log.append({"n": i, "pad": "x" * 50}); kept += 1
            except StorageError:
                failed += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (100000, resource.RLIM_INFINITY))
        log.append({"n": 100}); kept += 1
        print(kept, failed)
    """)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    kept, failed = map(int, done.stdout.split())
    assert failed > 50
    rows = read_log(tmp_path).rows
    assert len(rows) == kept
    assert rows[-1]["n"] == 100


def test_a_killed_process_loses_no_line_that_it_answered_for(tmp_path):
    """Every id that was told to the outside before kill -9 stands in the log."""
    code = textwrap.dedent("""
        import sys
        from fairtrial.serving import PredictionLog
        log = PredictionLog(sys.argv[1], "a")
        for i in range(10**9):
            log.append({"n": i})
            sys.stdout.write(f"{i}\\n"); sys.stdout.flush()
    """)
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    told = [int(process.stdout.readline()) for _ in range(5_000)]
    process.send_signal(signal.SIGKILL)
    told += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait()
    process.stdout.close()
    rows = [row["n"] for row in read_log(tmp_path).rows]
    assert rows[: len(told)] == told


def test_the_next_file_begins_when_one_is_large(tmp_path, monkeypatch):
    monkeypatch.setattr("fairtrial.serving.log.LARGEST_FILE", 1_000)
    log = PredictionLog(tmp_path, "a")
    for i in range(100):
        log.append({"n": i, "pad": "x" * 50})
    assert len(list(tmp_path.glob("*.ndjson"))) > 5
    assert [row["n"] for row in read_log(tmp_path).rows] == list(range(100))


def test_a_tail_reads_what_was_added_and_waits_for_the_end_of_a_line(tmp_path):
    log = PredictionLog(tmp_path, "a")
    log.append({"n": 1})
    tail = LogTail(tmp_path, {})

    def new():
        found = []
        for name, reached, rows in tail.read(100):
            tail.offsets[name] = reached
            found += rows
        return [row["n"] for row in found]

    assert new() == [1]
    assert new() == []
    descriptor = os.open(log.path, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b'{"n": 2')
    assert new() == []
    os.write(descriptor, b"}\n")
    os.close(descriptor)
    log.append({"n": 3})
    assert new() == [2, 3]


@pytest.mark.parametrize("name", ["fraud v2", "模型/β", "..", "a" * 200])
def test_any_name_makes_a_file_name(name):
    stem = file_stem(name)
    assert stem.isascii()
    assert "/" not in stem
    assert stem not in {".", ".."}
    assert len(stem) < 80
    assert file_stem("fraud_model_v2_test") == "fraud_model_v2_test"


def test_prediction_ids_never_repeat_and_sort_by_time():
    ids = [new_prediction_id() for _ in range(20_000)]
    assert len(set(ids)) == len(ids)
    assert {(len(value), value[14], value[19] in "89ab") for value in ids} == {(36, "7", True)}
    assert [value[:13] for value in ids] == sorted(value[:13] for value in ids)


def test_features_are_logged_as_allowed_hashed_or_not_at_all():
    """ML-10, IV.b: hashed or by allow-list."""
    features = {"amount": 120.0, "email": "a@example.org", "card": "4111"}
    log = FeatureLog(allow=("amount", "country"), hashed=("email",), key=b"k" * 16)
    kept = log.redacted(features)
    assert kept.keys() == {"amount", "email"}
    assert kept["amount"] == 120.0
    assert kept["email"] != FeatureLog(hashed=("email",), key=b"j" * 16).redacted(features)["email"]
    assert "example" not in json.dumps(kept)
    assert log.redacted(features) == kept
    assert FeatureLog().redacted(features) == {}
    assert set(FeatureLog.all_hashed().redacted(features)) == set(features)
    assert set(FeatureLog.all_hashed().redacted([1, 2])) == {"features"}


def test_a_hash_without_a_secret_is_refused():
    with pytest.raises(UsageError, match="need a key of 16 to 64 bytes, got 0"):
        FeatureLog(hashed=("email",))
