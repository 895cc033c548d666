"""A virtual Cams gateway with virtual devices: cams-relay without hardware, and the thing that checks it.

It speaks the Cams Web API 3.0 by itself and imports nothing of `app` or `workers`, so that a
misreading of the specification on one side shows against the other.

    codes, clock, cipher     the protocol's small change: status codes, time format, AES
    records, callbacks       what a device knows, and the 11 callbacks that tell of it
    spec, device             one virtual machine: users, templates, logs, photos, clock, switch
    outbox                   its callbacks on their way: in order, one at a time, until "done"
    operations, execute      the 27 commands: which one a body is, and what it does to the device
    envelope, desk, faults   the gateway's side of a command: keys, tokens, holding, remembering
    gateway                  all devices by stgid
    server, serving          HTTP: the command endpoint, and a server in a thread
    control, actions, fields, view   the control API: devices, what is done at them, what they show
    people, life, flood      plausible staff who punch by themselves
    jpeg                     small real pictures
    cli                      `cams-relay simulator` and `cams-relay simulate …`
"""
