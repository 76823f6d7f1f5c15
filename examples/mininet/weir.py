"""weir as a switch of Mininet:

    sudo mn --custom examples/mininet/weir.py --switch weir --controller none

or in a script, with this file's folder in PYTHONPATH:

    from weir import WeirSwitch
    net = Mininet(topo=TreeTopo(2, 3), switch=WeirSwitch, controller=RemoteController)

One process of weir serves all switches; with --innamespace each switch has its own. Each start, stop, attach and
detach writes the configuration that is wanted now and lets weir apply the difference. Its sockets are in
/run/weir-mininet, so that from another terminal `weir --rundir /run/weir-mininet flows s1` works, and
`OVS_RUNDIR=/run/weir-mininet ovs-ofctl dump-flows s1`. Nothing of it outlives mn, however that ends.
"""

import difflib
import inspect
import json
import os
import shutil
import subprocess

from mininet.clean import addCleanupCallback
from mininet.log import debug, error
from mininet.node import Node, Switch
from mininet.util import splitArgs

RUN = '/run/weir-mininet'
# "mn -c" ends what has "mininet:" in its command line.
CONFIG = 'mininet:weir.json'


def find_weir():
    "The program: $WEIR, else the one built beside this file, else the one in PATH (of which sudo leaves little)."
    here = os.path.dirname(os.path.abspath(find_weir.__code__.co_filename))  # mn --custom sets no __file__
    built = os.path.join(here, '..', '..', 'bin', 'weir')
    return os.environ.get('WEIR') or shutil.which(built) or shutil.which('weir')


def check_weir():
    "Raise OSError if the program cannot be run."
    found = find_weir()
    if not found:
        raise OSError('weir was not found: build it with "make build", or put it into PATH or into $WEIR')
    try:
        subprocess.run([found, 'version'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    except (OSError, subprocess.CalledProcessError) as e:
        by = '$WEIR names' if os.environ.get('WEIR') else 'weir was found as'
        raise OSError('%s %s, which does not run (%s): build weir with "make build", or put one that runs into PATH or '
                      'into $WEIR' % (by, found, e)) from e


# What Mininet itself gives a switch or takes from one, besides the arguments of the classes.
OF_MININET = {'ip', 'mac', 'defaultRoute', 'lo', 'cores', 'cls', 'isSwitch', 'datapath', 'inband'}


def check_params(params, strict):
    "Raise ValueError for what WeirSwitch cannot be given; unless strict, a script's own words are let through."
    known = OF_MININET.union(*(inspect.signature(c.__init__).parameters for c in (WeirSwitch, Switch, Node)))
    known -= {'self', 'name', 'params'}
    for name, value in params.items():
        near = difflib.get_close_matches(name.lower(), [k.lower() for k in known], 1, 0.75)
        if name not in known and (near or strict):
            meant = [k for k in known if k.lower() in near]
            raise ValueError('unknown parameter %s%s' % (
                name, ', did you mean %s?' % meant[0] if meant else
                ': there are failMode, protocols, dpid, reconnectms and batch'))
        if name == 'stp' and value:
            raise ValueError('weir has no spanning tree: leave out stp=True, or run one in a controller')
        if name == 'failMode' and value not in (None, 'standalone', 'secure'):
            raise ValueError('failMode=%s: it is standalone or secure' % value)
        if name == 'protocols' and not set(str(value or 'OpenFlow13').split(',')) <= {'OpenFlow10', 'OpenFlow13'}:
            raise ValueError('protocols=%s: there are OpenFlow10 and OpenFlow13' % value)
        if name == 'reconnectms' and not isinstance(value or 0, int):
            raise ValueError('reconnectms=%s: it is a number of milliseconds' % value)


def validate(options):
    """mn calls this before it makes anything. An exception would have it clean up as "mn -c" does, which kills and deletes
    what is not its own; an exit does not."""
    if options.switch.split(',')[0] != 'weir':
        return
    try:
        check_params(splitArgs(options.switch)[2], strict=True)
        check_weir()
    except (OSError, ValueError) as e:
        error('*** --switch %s: %s\n' % (options.switch, e))
        raise SystemExit(1) from e


class Daemon:
    "A process of weir with the switches of one network namespace, and its run directory."

    all = {}      # those with switches, by run directory
    guard = None  # see watch

    def __init__(self, rundir, enter):
        self.rundir = rundir
        self.enter = enter  # command before a command that has to run in the namespace
        self.bridges = {}   # what shall run: the configuration of each switch by its name
        self.running = False

    @classmethod
    def of(cls, switch):
        "The daemon that serves the switch."
        rundir, enter = RUN, []
        if switch.inNamespace:
            rundir, enter = os.path.join(RUN, switch.name), ['mnexec', '-a', str(switch.pid)]
        return cls.all.get(rundir) or cls(rundir, enter)

    def weir(self, *args):
        "Run a command of weir; its output, or an exception with its words."
        cmd = [find_weir(), '--rundir', self.rundir] + list(args)
        debug('*** weir', *cmd[1:])
        done = subprocess.run(self.enter + cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        debug('', done.stdout, '\n')
        if done.returncode:
            raise Exception('weir %s: %s' % (' '.join(args), done.stdout.strip()))
        return done.stdout

    def apply(self):
        "Make weir what self.bridges says."
        if not self.bridges:
            self.end()
            return
        os.makedirs(self.rundir, exist_ok=True)
        config = os.path.join(self.rundir, CONFIG)
        with open(config, 'w', encoding='utf-8') as f:
            json.dump({'rundir': self.rundir, 'log': {'file': os.path.join(self.rundir, 'weir.log')},
                       'bridges': list(self.bridges.values())}, f, indent=1)
        if self.running:
            self.weir('reload', '-c', config)
            return
        self.watch()
        self.weir('run', '-c', config, '--detach', '--wait-ready', '10s')
        self.running = True

    def end(self):
        "Stop the process and remove its files."
        Daemon.all.pop(self.rundir, None)
        if self.running:
            self.weir('stop')
        shutil.rmtree(self.rundir, ignore_errors=True)
        if not Daemon.all:
            Daemon.unwatch()

    @classmethod
    def watch(cls):
        "Start a shell that cleans up when this process has ended, be it by kill -9: then the shell's input ends."
        if not cls.guard:
            # It goes by its working directory: by then a new session may have the name.
            clean = 'read _; for d in . */; do "$WEIR" --rundir "$d" stop; done; rm -rf ./*; rmdir "$RUN"'
            cls.guard = subprocess.Popen(  # pylint: disable=consider-using-with
                ['sh', '-c', clean], env=dict(os.environ, RUN=RUN, WEIR=find_weir()), cwd=RUN, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @classmethod
    def unwatch(cls):
        "End that shell: nothing is left to clean up."
        if cls.guard:
            cls.guard.kill()
            cls.guard.communicate()
            cls.guard = None
        shutil.rmtree(RUN, ignore_errors=True)


class WeirSwitch(Switch):
    "A bridge of weir."

    def __init__(self, name, failMode=None, protocols=None, reconnectms=1000, stp=False, batch=False, **params):
        """failMode: standalone (forwards while no controller answers) or secure; default: standalone
                     if it has no controller, else secure
           protocols: versions for controllers, OpenFlow10 or OpenFlow13 or both with a comma; default both
           reconnectms: longest pause before a controller is called again
           stp: there is none; True is an error, for a loop would flood
           batch: start() leaves the work to batchStartup, which Mininet.start() calls: faster for many switches,
                  wrong for a script that calls start() itself"""
        check_params(dict(params, failMode=failMode, protocols=protocols, reconnectms=reconnectms, stp=stp), strict=False)
        Switch.__init__(self, name, **params)
        self.failMode = failMode
        self.protocols = protocols
        self.reconnectms = reconnectms
        self.batch = batch
        self.bridge = {}

    @classmethod
    def setup(cls):
        "Look for the program, once, and clean up after a session that was killed."
        try:
            check_weir()
        except OSError as e:
            error('*** %s\n' % e)
            raise SystemExit(1) from e
        clean_weir()

    def start(self, controllers):
        "Start the bridge; its ports forward and its listeners answer on return (but see batch)."
        self.bridge = {
            'name': self.name,
            'dpid': self.dpid,
            'fail-mode': self.failMode or ('secure' if controllers else 'standalone'),
            'controllers': [{'target': '%s:%s:%d' % (c.protocol, c.IP(), c.port)} for c in controllers],
            'ports': [self.port(intf) for intf in self.intfList() if self.ports[intf] and not intf.IP()],
        }
        if self.protocols:
            self.bridge['protocols'] = self.protocols.split(',')
        if self.reconnectms:
            self.bridge['max-backoff'] = '%dms' % self.reconnectms
            self.bridge['min-backoff'] = '%dms' % min(self.reconnectms, 1000)
        if self.listenPort:
            # In a namespace of its own it is reached by the control network alone.
            self.bridge['listen'] = ['ptcp:%d%s' % (self.listenPort, '' if self.inNamespace else ':127.0.0.1')]
        daemon = Daemon.of(self)
        Daemon.all[daemon.rundir] = daemon
        daemon.bridges[self.name] = self.bridge
        if not self.batch:
            daemon.apply()

    @classmethod
    def batchStartup(cls, switches):
        "Start all switches that only said so."
        for daemon in {Daemon.of(s) for s in switches if s.batch}:
            daemon.apply()
        for switch in switches:
            switch.batch = False  # switch s1 start
        return switches

    def port(self, intf):
        "The text of a data port; its OpenFlow number is Mininet's."
        return '%d:%s' % (self.ports[intf], intf)

    def attach(self, intf):
        "Make an interface of this switch a port; intf may be its name."
        intf = self.nameToIntf[str(intf)]
        self.bridge['ports'].append(self.port(intf))
        Daemon.of(self).apply()
        self.cmd('ifconfig', intf, 'up')

    def detach(self, intf):
        "Take a port out of the bridge; intf may be its name."
        self.bridge['ports'].remove(self.port(self.nameToIntf[str(intf)]))
        Daemon.of(self).apply()

    def connected(self):
        "Whether a controller has finished its handshake, or none is needed."
        if self.bridge['fail-mode'] == 'standalone' or not self.bridge['controllers']:
            return True
        try:
            Daemon.of(self).weir('status', self.name, '--connected')
        except Exception:  # pylint: disable=broad-except
            return False
        return True

    def dpctl(self, *args):
        "Run ovs-ofctl, or weir ofctl where there is none."
        rundir = Daemon.of(self).rundir
        if shutil.which('ovs-ofctl'):
            return self.cmd('ovs-ofctl', args[0], 'unix:%s/%s.mgmt' % (rundir, self.name), *args[1:])
        return self.cmd(find_weir(), '--rundir', rundir, 'ofctl', args[0], self.name, *args[1:])

    def stop(self, deleteIntfs=True):
        "Stop the bridge. It can be started again."
        self.shutdown([self])
        super().stop(deleteIntfs)

    @classmethod
    def batchShutdown(cls, switches):
        "Stop many bridges at once. What else there is to stop, stop() does."
        cls.shutdown(switches)
        return []

    @staticmethod
    def shutdown(switches):
        "Take the switches out of their daemons, and change each daemon once."
        changed = set()
        for switch in switches:
            daemon = Daemon.of(switch)
            if daemon.bridges.pop(switch.name, None):
                changed.add(daemon)
        for daemon in changed:
            daemon.apply()


def clean_weir():  # mn --custom puts every name of this file among its own, and has a cleanup
    "End every process of the run directory and remove it: for mn -c, and before the first start."
    if os.path.isdir(RUN):
        for rundir in [RUN] + [d.path for d in os.scandir(RUN) if d.is_dir()]:
            try:
                Daemon(rundir, []).weir('stop')
            except Exception as e:  # pylint: disable=broad-except
                debug('***', str(e), '\n')  # killed already
    Daemon.all.clear()
    Daemon.unwatch()


addCleanupCallback(clean_weir)
switches = {'weir': WeirSwitch}
