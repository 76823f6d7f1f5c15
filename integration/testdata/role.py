"""A controller for os-ken that asks for the role that stands in the file of $WISH, like "master 7" with a generation id,
again whenever the file changes, and prints what it is told. A master sends everything to the controllers."""
import os

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, HANDSHAKE_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3


def say(*words):
    print("SAYS", *words, flush=True)


class Role(app_manager.OSKenApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def on_connect(self, ev):
        say("connected")
        hub.spawn(self.follow, ev.msg.datapath)

    def follow(self, dp):
        last = None
        while dp.is_active:
            with open(os.environ["WISH"]) as f:
                wish = f.read()
            if wish and wish != last:
                last = wish
                role, generation = wish.split()
                dp.send_msg(dp.ofproto_parser.OFPRoleRequest(dp, getattr(dp.ofproto, "OFPCR_ROLE_" + role.upper()), int(generation)))
            hub.sleep(0.05)

    @set_ev_cls(ofp_event.EventOFPRoleReply, MAIN_DISPATCHER)
    def on_role(self, ev):
        dp = ev.msg.datapath
        say("role", ev.msg.role, "generation", ev.msg.generation_id)
        if ev.msg.role == dp.ofproto.OFPCR_ROLE_MASTER:
            out = dp.ofproto_parser.OFPActionOutput(dp.ofproto.OFPP_CONTROLLER, dp.ofproto.OFPCML_NO_BUFFER)
            apply = dp.ofproto_parser.OFPInstructionActions(dp.ofproto.OFPIT_APPLY_ACTIONS, [out])
            dp.send_msg(dp.ofproto_parser.OFPFlowMod(datapath=dp, priority=0, instructions=[apply]))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet_in(self, ev):
        say("packet-in", ev.msg.match["in_port"])

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [HANDSHAKE_DISPATCHER, CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_error(self, ev):
        say("error", ev.msg.type, ev.msg.code)

    @set_ev_cls(ofp_event.EventOFPStateChange, DEAD_DISPATCHER)
    def on_end(self, ev):
        say("disconnected")
