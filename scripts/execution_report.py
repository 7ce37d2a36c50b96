"""Print, in Markdown, what the execution cache holds: pages, times, device."""
import execution_statistics


def report(rows: list[dict]) -> str:
    """A table of the pages' records, with where and how long they ran."""
    lines = ["# Execution report", "",
             "| Page | Executed (UTC) | Run time (s) | Compiling (s) "
             "| Peak memory (MiB) | Device | JAX | Python |",
             "|---|---|--:|--:|--:|---|---|---|"]
    done = [r for r in rows if "execution_seconds" in r]
    for row in rows:
        if "environment" not in row:
            lines.append(f"| {row['doc']} | not executed | | | | | | |")
            continue
        where = row["environment"]
        lines.append(
            f"| {row['doc']} | {execution_statistics.age(row['date'])} "
            f"| {row['execution_seconds']:.1f} | {row['compile_seconds']:.1f} "
            f"| {row['peak_bytes'] / 2**20:.0f} | {where['device']} "
            f"| {where['jax']} | {where['python']} |")
    total = sum(r["execution_seconds"] for r in done)
    lines += ["", f"{len(done)} of {len(rows)} pages executed, "
              f"{total:.1f} s in all."]
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(execution_statistics.rows()))
