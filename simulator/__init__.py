"""A simulated Cams gateway with simulated devices, for using cams-relay without hardware, and for testing it.

It has its own implementation of the Cams Web API 3.0 and imports nothing from `app` or `workers`, so that a misreading
of the specification on one side is noticed on the other.

    codes, clock, cipher     the protocol's basics: status codes, time format, AES
    records, callbacks       a device's data, and the callbacks that report it
    legacy                   callbacks of versions 2.0 and 1.0
    spec, device             a simulated device: users, templates, logs, photos, clock, switch
    outbox                   its queue of callbacks: in order, one at a time, until "done"
    operations, execute      commands: recognising a body, and changing the device
    envelope, desk, faults   the gateway's part of a command: keys, tokens, holding, remembering
    gateway                  all devices by stgid
    server, serving          HTTP: the command endpoint, and a server in a thread
    control, actions, fields, view   the control API: devices, actions at them, and their state
    people, life, flood      plausible staff who punch by themselves
    jpeg                     small real pictures
    cli                      `cams-relay simulator` and `cams-relay simulate …`
"""
