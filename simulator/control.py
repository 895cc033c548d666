"""The control API under `/control`: creates devices, uses them like a person, breaks and inspects them.

It is for people and tests on this machine. It has no password, listens on loopback, and only accepts loopback names in
Host and Origin (otherwise 403), so that no web page can use it through a browser. It reads and writes JSON. A wrong
field is 400, an unknown device or user 404, a refusal by a device 409.
"""

import dataclasses

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from simulator import actions
from simulator.codes import AccessDenied, Code, Refused
from simulator.device import Device
from simulator.faults import faults_from_json
from simulator.fields import Fields
from simulator.gateway import Gateway
from simulator.hosts import AllowedHosts
from simulator.spec import change_spec, spec_from_json
from simulator.view import show_device


def make_control(gateway: Gateway, hosts: AllowedHosts) -> Blueprint:
    """Create the blueprint that controls a gateway, for callers that reach it by one of `hosts`."""
    control = Blueprint("control", __name__, url_prefix="/control")
    _add_error_handlers(control)

    @control.before_request
    def check_host() -> ResponseReturnValue | None:
        origin = request.headers.get("Origin")
        if hosts.allow(request.headers.get("Host", "")) and (origin is None or hosts.allow_origin(origin)):
            return None
        return _problem(
            403,
            "The control API accepts only loopback names. For another name, start the simulator with --control-host, "
            "for example --control-host simulator.lan.",
        )

    @control.get("/devices")
    def list_devices() -> ResponseReturnValue:
        return jsonify([show_device(device, gateway.desk(device.spec.stgid)) for device in gateway.devices])

    @control.post("/devices")
    def add_device() -> ResponseReturnValue:
        device = gateway.add_device(spec_from_json(Fields(request.get_json()).rest()))
        return _show(device.spec.stgid), 201

    @control.get("/devices/<stgid>")
    def get_device(stgid: str) -> ResponseReturnValue:
        return _show(stgid)

    @control.patch("/devices/<stgid>")
    def change_device(stgid: str) -> ResponseReturnValue:
        _change(_device(stgid), Fields(request.get_json()))
        return _show(stgid)

    @control.delete("/devices/<stgid>")
    def remove_device(stgid: str) -> ResponseReturnValue:
        _device(stgid)
        gateway.remove_device(stgid)
        return "", 204

    @control.get("/devices/<stgid>/commands")
    def list_commands(stgid: str) -> ResponseReturnValue:
        _device(stgid)
        return jsonify([dataclasses.asdict(receipt) for receipt in list(gateway.desk(stgid).received)])

    @control.post("/devices/<stgid>/<action>")
    def act(stgid: str, action: str) -> ResponseReturnValue:
        """Do something at the device: punch, user, photo, delete-user, time, batch, resend, flood, raw."""
        device, perform = _device(stgid), actions.ACTIONS.get(action)
        if perform is None:
            raise KeyError(f"there is no action {action}; use one of {', '.join(actions.ACTIONS)}")
        # An action without fields needs no body.
        fields = Fields(request.get_json() if request.content_length else {})
        done = perform(device, fields)
        return jsonify({**done, "device": device.spec.label, "queue_length": len(device.outbox)}), 201

    def _device(stgid: str) -> Device:
        try:
            return gateway.device(stgid)
        except KeyError:
            raise KeyError(f"no device {stgid}") from None

    def _show(stgid: str) -> Response:
        return jsonify(show_device(_device(stgid), gateway.desk(stgid)))

    def _change(device: Device, fields: Fields) -> None:
        online, timeout, skew = (
            fields.flag("online"),
            fields.flag("timeout"),
            fields.number("clock_skew_seconds"),
        )
        faults = faults_from_json(fields.any("faults")) if "faults" in fields else None
        change_spec(device.spec, fields.rest())
        if faults is not None:
            gateway.desk(device.spec.stgid).set_faults(faults)
        if skew is not None:
            device.drift(skew)
        device.switch(online, timeout)
        # With a new Callback URL or key, the held callback may succeed.
        device.outbox.hurry()

    return control


def _add_error_handlers(control: Blueprint) -> None:
    @control.errorhandler(ValueError)
    def wrong(error: ValueError) -> ResponseReturnValue:
        return _problem(400, str(error))

    @control.errorhandler(KeyError)
    def unknown(error: KeyError) -> ResponseReturnValue:
        return _problem(404, str(error.args[0]))

    @control.errorhandler(Refused)
    def refused(error: Refused) -> ResponseReturnValue:
        return _problem(404 if error.code == Code.USER_NOT_FOUND else 409, error.why)

    @control.errorhandler(AccessDenied)
    def denied(error: AccessDenied) -> ResponseReturnValue:
        return _problem(409, str(error))

    @control.errorhandler(HTTPException)
    def other(error: HTTPException) -> ResponseReturnValue:
        return _problem(error.code or 500, error.description or error.name)


def _problem(status: int, detail: str) -> ResponseReturnValue:
    return jsonify({"status": status, "detail": detail}), status, {"Content-Type": "application/problem+json"}
