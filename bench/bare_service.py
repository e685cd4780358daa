"""A bare FastAPI service, what the product's is measured beside: a fixed answer, and a look-up in one Parquet file.

python -m bench.bare_service FILE    # forecasts of a run; says where it listens
"""

import sys
from pathlib import Path
from typing import Any

import polars as pl
import uvicorn
from fastapi import FastAPI


def main() -> None:
    app, file, fixed = FastAPI(), Path(sys.argv[1]), [{"step": step, "forecast_units": 1.5} for step in range(1, 29)]

    @app.get("/fixed")
    def _fixed() -> list[dict[str, Any]]:
        return fixed

    @app.get("/look-up")
    def _look_up(store_id: str, sku_id: str) -> list[dict[str, Any]]:
        rows = pl.scan_parquet(file).filter(store_id=store_id, sku_id=sku_id).select("step", "forecast_units")
        return rows.with_columns(pl.col("forecast_units").cast(pl.Float64)).collect().to_dicts()

    config = uvicorn.Config(app, "127.0.0.1", 0, log_level="warning")
    sock = config.bind_socket()
    print(f"Listening on http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[sock])


if __name__ == "__main__":
    main()
