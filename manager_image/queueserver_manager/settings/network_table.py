"""Settings of the addresses at which clients are answered; part of the settings table."""

from __future__ import annotations

from queueserver_manager.settings.declaration import Group, Setting
from queueserver_manager.settings.values import Address, Choice, OnOff, PrivateKey, Size

NETWORK_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "zmq_control_addr",
        Group.NETWORK,
        Address(),
        "tcp://*:60615",
        "Address at which requests are answered",
        option="--zmq-control-addr",
        deprecated_options=("--zmq-addr",),
        key="network/zmq_control_addr",
        variable="QSERVER_ZMQ_CONTROL_ADDRESS_FOR_SERVER",
    ),
    Setting(
        "zmq_info_addr",
        Group.NETWORK,
        Address(),
        "tcp://*:60625",
        "Address at which console output and status are published",
        option="--zmq-info-addr",
        deprecated_options=("--zmq-publish-console-addr",),
        key="network/zmq_info_addr",
        variable="QSERVER_ZMQ_INFO_ADDRESS_FOR_SERVER",
    ),
    Setting(
        "zmq_encoding",
        Group.NETWORK,
        Choice(("json", "msgpack")),
        "json",
        "Encoding of requests, replies and publications; clients must use the same",
        option="--zmq-encoding",
        key="network/zmq_encoding",
        variable="QSERVER_ZMQ_ENCODING_FOR_SERVER",
    ),
    Setting(
        "zmq_publish_console",
        Group.NETWORK,
        OnOff(),
        False,
        "Publish console output and status at the info address",
        option="--zmq-publish-console",
        key="network/zmq_publish_console",
    ),
    Setting(
        "zmq_private_key",
        Group.NETWORK,
        PrivateKey(),
        "",
        "Private CURVE key that encrypts the control address",
        key="network/zmq_private_key",
        variable="QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER",
        deprecated_variables=("QSERVER_ZMQ_PRIVATE_KEY",),
        secret=True,
    ),
    Setting(
        "max_request_size",
        Group.NETWORK,
        Size(minimum=64 * 1024),
        32 * 2**20,
        "Largest request; the connection of a client that sends more is closed",
        option="--max-request-size",
        key="service/max_request_size",
        default_text="32M",
    ),
    Setting(
        "legacy_addr",
        Group.NETWORK,
        Address(),
        None,
        "Second address, at which requests of version 0.0.1 are answered, usually tcp://*:5555",
        option="--legacy-addr",
        key="service/legacy_addr",
        default_text="none",
    ),
)
