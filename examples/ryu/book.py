"""What the applications of this folder share: the framework's names, whichever of Ryu and os-ken is installed, the
messages that all of them send, and a server for requests in JSON.
"""

import importlib
import json
import os
import re

try:
    import ryu as framework
    from ryu.base.app_manager import RyuApp as App
except ImportError:
    import os_ken as framework
    from os_ken.base.app_manager import OSKenApp as App  # noqa: F401


def use(name):
    """use('lib.hub') is the module ryu.lib.hub or os_ken.lib.hub."""
    return importlib.import_module(framework.__name__ + '.' + name)


hub = use('lib.hub')

# How long the ofctl library waits for an answer of the switch. Its own second is too short on a busy machine: the features
# of 254 tables cost Python a good part of it.
use('lib.ofctl_utils').DEFAULT_TIMEOUT = 15.0


def add_flow(dp, priority, match, actions, table=0, goto=None, meter=None, **more):
    """Install an entry: a meter first, the actions, then on to a table."""
    p, ofp = dp.ofproto_parser, dp.ofproto
    inst = []
    if meter is not None:
        inst.append(p.OFPInstructionMeter(meter))
    if actions:
        inst.append(p.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions))
    if goto is not None:
        inst.append(p.OFPInstructionGotoTable(goto))
    dp.send_msg(p.OFPFlowMod(datapath=dp, table_id=table, priority=priority, match=match, instructions=inst, **more))


def to_controller(dp):
    """The action that sends a whole packet here."""
    return dp.ofproto_parser.OFPActionOutput(dp.ofproto.OFPP_CONTROLLER, dp.ofproto.OFPCML_NO_BUFFER)


def packet_out(dp, data, port, in_port=None):
    """Send a packet out of a port."""
    p, ofp = dp.ofproto_parser, dp.ofproto
    dp.send_msg(p.OFPPacketOut(
        datapath=dp, buffer_id=ofp.OFP_NO_BUFFER, in_port=ofp.OFPP_CONTROLLER if in_port is None else in_port,
        actions=[p.OFPActionOutput(port)], data=data))


NORMAL = [{'type': 'OUTPUT', 'port': 'NORMAL'}]
PROTOCOLS = {'ICMP': 1, 'TCP': 6, 'UDP': 17}
FIELDS = {'in_port': 'in_port', 'dl_src': 'eth_src', 'dl_dst': 'eth_dst', 'nw_src': 'ipv4_src', 'nw_dst': 'ipv4_dst'}


def match_of(rule):
    """The match of a rule of the firewall or of QoS, in the words of ofctl."""
    match = {ours: rule[theirs] for theirs, ours in FIELDS.items() if theirs in rule}
    if {'nw_src', 'nw_dst', 'nw_proto'} & set(rule):
        match['eth_type'] = 0x0800
    if 'nw_proto' in rule:
        match['ip_proto'] = PROTOCOLS[rule['nw_proto']]
        for end in ('src', 'dst'):
            if 'tp_' + end in rule:
                match['%s_%s' % (rule['nw_proto'].lower(), end)] = int(rule['tp_' + end])
    return match


class Unknown(Exception):
    """Raised by a route: what the request names is not there."""


class Rest:
    """Answers HTTP requests on port 8080 (or REST_PORT) of this machine.

    routes is a list of (method, pattern, function). The function gets the pattern's groups and, for a request with
    a body, the value in it; what it returns is the answer.
    """

    def __init__(self, routes):
        self.routes = [(method, re.compile(pattern + '$'), function) for method, pattern, function in routes]
        address = ('127.0.0.1', int(os.environ.get('REST_PORT', 8080)))
        hub.spawn(hub.WSGIServer(address, self.serve).serve_forever)

    def serve(self, env, start_response):
        try:
            status, value = '200 OK', self.answer(env)
        except Unknown as e:
            status, value = '404 Not Found', {'error': str(e)}
        except (ValueError, KeyError, TypeError) as e:
            status, value = '400 Bad Request', {'error': '%s: %s' % (type(e).__name__, e)}
        start_response(status, [('Content-Type', 'application/json')])
        return [(json.dumps(value) + '\n').encode()]

    def answer(self, env):
        body = env['wsgi.input'].read(int(env.get('CONTENT_LENGTH') or 0))
        for method, pattern, function in self.routes:
            found = pattern.match(env['PATH_INFO'])
            if found and method == env['REQUEST_METHOD']:
                return function(*found.groups(), *([json.loads(body)] if body else []))
        raise Unknown('no %s %s' % (env['REQUEST_METHOD'], env['PATH_INFO']))
