"""Serve a model in this process, on a free port."""

import http.client
import json
import threading
import time

HOW = {"device": "cpu", "precision": "fp32", "window": 64, "overlap": 16}


class Served:
    """A service in this process."""

    def __init__(self, run, **limits):
        import uvicorn

        from rsuda.core.map_options import MapOptions
        from rsuda.inference.predictor import Predictor
        from rsuda.runs.weights import load_run
        from rsuda.serving.app import Service, make_app
        from rsuda.serving.connections import TimelyConnection
        from rsuda.serving.serve_options import ServeOptions

        options = MapOptions.of(**HOW, overwrite=True)
        predictor = Predictor.of(load_run(run), **options.predictor.model_dump())
        self.service = Service(predictor, ServeOptions.of(**limits), options)
        config = uvicorn.Config(
            make_app(self.service), port=0, http=TimelyConnection, log_level="error", timeout_keep_alive=5
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, dict(response.getheaders()), content

    def window(self, body, **query):
        return self.ask("POST", "/predict?" + "&".join(f"{name}={value}" for name, value in query.items()), body)

    def address(self, **fields):
        return self.ask("POST", "/predict/address", json.dumps(fields), {"Content-Type": "application/json"})

    def stop(self):
        self.server.should_exit = True
        self.thread.join(30)
