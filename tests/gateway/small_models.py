"""A small model server of the Open Inference Protocol and of plain JSON; what it does can be changed while it runs.

    python small_models.py PORT NAME [SCORE]

`POST /control {"score": .9, "delay": 0.1, "fail": 1.0, "html": true}` changes it, `GET /control` counts what it was asked.
"""

import asyncio
import contextlib
import random
import sys
import threading

from aiohttp import web


class SmallModel:
    """Behaviour and counts of one server.

    Attributes:
        score: What it answers; a function of the request's `x` when it is callable.
        delay: Seconds before it answers.
        fail: Share of requests that get a 500.
        html: Answer with a page instead of JSON.
        bad_request: Answer 400 to all.
        hangs_up: End a connection at its second request, as a server does whose patience with an idle one has just ended.
        asked: Bodies that it was sent.
    """

    def __init__(self, score=0.2):
        self.score, self.delay, self.fail, self.html, self.bad_request = score, 0.0, 0.0, False, False
        self.asked, self.headers = 0, {}
        self.hangs_up, self.answered = False, set()

    async def infer(self, request):
        if self.hangs_up and request.transport in self.answered:
            request.transport.abort()
            return web.Response()
        self.answered.add(request.transport)
        body = await request.json()
        self.asked += 1
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.bad_request:
            return web.json_response({"error": "wrong shape"}, status=400)
        if random.random() < self.fail:
            return web.json_response({"error": "no weights"}, status=500)
        if self.html:
            return web.Response(text="<html>maintenance</html>", content_type="text/html")
        if "inputs" in body:
            value = self.score(body["inputs"][0]["data"][0]) if callable(self.score) else self.score
            output = {"name": "predict", "shape": [1], "datatype": "FP64", "data": [value]}
            return web.json_response({"model_name": "small", "outputs": [output]})
        return web.json_response({"prediction": self.score(body) if callable(self.score) else self.score})

    async def control(self, request):
        if request.method == "POST":
            for name, value in (await request.json()).items():
                setattr(self, name, value)
        return web.json_response({"asked": self.asked})

    async def ready(self, _request):
        return web.json_response({"ready": True})

    async def metadata(self, _request):
        tensor = {"name": "x", "datatype": "FP64", "shape": [-1]}
        return web.json_response({"name": "small", "platform": "test", "inputs": [tensor], "outputs": []})

    def app(self):
        app = web.Application(client_max_size=60_000_000)
        app.router.add_post("/v2/models/{name}/infer", self.infer)
        app.router.add_post("/predict", self.infer)
        app.router.add_route("*", "/control", self.control)
        app.router.add_get("/v2/models/{name}/ready", self.ready)
        app.router.add_get("/v2/models/{name}", self.metadata)
        return app


@contextlib.contextmanager
def running(model, port=0):
    """The server in a thread of its own; yields its address."""
    loop = asyncio.new_event_loop()
    begun, found = threading.Event(), []

    async def start():
        runner = web.AppRunner(model.app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        found.append((runner, site._server.sockets[0].getsockname()[1]))
        begun.set()

    def run():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(found[0][0].cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert begun.wait(10)
    try:
        yield f"http://127.0.0.1:{found[0][1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


if __name__ == "__main__":
    port, _name, *score = sys.argv[1:]
    web.run_app(SmallModel(float(score[0]) if score else 0.2).app(), host="127.0.0.1", port=int(port), print=None, access_log=None)
