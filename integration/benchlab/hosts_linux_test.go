package benchlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirswitch/weir/integration/bench"
	"github.com/weirswitch/weir/integration/lab"
)

// tcp measures one stream between the hosts as they are, and once more with hosts that finish each segment and its
// checksum themselves, which is all that some switches can carry.
func (c *run) tcp() error {
	plain := bench.Row{Name: "one stream, default offloads", Unit: gbit}
	finished := bench.Row{Name: "one stream, hosts with tx offloads off", Unit: gbit}
	plain.Goals = []bench.Goal{{Of: nameBridge, Factor: 0.75}, {Of: nameOVS, Factor: 10}, {Of: nameOVS, Row: finished.Name, Factor: 10}}
	v, err := c.streams()
	if err != nil {
		return err
	}
	c.add(plain, v)
	if !c.s.opens && !c.s.direct {
		return nil
	}
	for _, h := range c.s.lab.Hosts() {
		if err := set(c.ctx, h.Space, "eth0", "tx", "off"); err != nil {
			return err
		}
		defer func() { _ = set(c.ctx, h.Space, "eth0", "tx", "on") }()
	}
	if v, err = c.stream(); err != nil {
		return err
	}
	c.add(finished, v)
	return nil
}

const gbit = "Gbit/s"

// streams is the middle one of some streams, one after the other: the receiver of one may share the switch's processor from
// its beginning to its end and that of the next one not, which the system decides and no switch.
func (c *run) streams() (float64, error) {
	var all []float64
	for range c.o.repeats {
		v, err := c.stream()
		if err != nil || v == 0 {
			return 0, err
		}
		all = append(all, v)
	}
	return bench.Median(all), nil
}

// stream is one stream of iperf3, which may use both processors as the hosts of a network would use their own. Of a
// switch that does not carry what the hosts leave to their cards, that nothing gets through is a figure, too: 0.
func (c *run) stream() (float64, error) {
	addr := c.s.to().Addr4().String()
	path, args := bench.OnBothCPUs("iperf3", "-s", "-1", "--forceflush", "-B", addr)
	server, err := c.s.to().Start(lab.Cmd{Path: path, Args: args})
	if err != nil {
		return 0, err
	}
	defer func() { server.Kill(); <-server.Done() }()
	for !strings.Contains(server.Output(), "listening") {
		if err := c.wait(5 * time.Millisecond); err != nil || !server.Running() {
			return 0, errors.Join(err, errors.New("iperf3 -s: "+server.Output()))
		}
	}
	howLong := []string{"-n", "1M"}
	if s := int(c.o.length.Seconds()); s > 0 {
		howLong = []string{"-t", strconv.Itoa(s)}
	}
	patience := min(time.Second, 6*c.o.length)
	if c.s.whole {
		patience = bench.Patience
	}
	path, args = bench.OnBothCPUs("iperf3", append(howLong, "-c", addr, "-J", "--connect-timeout", strconv.FormatInt(patience.Milliseconds(), 10))...)
	ctx, cancel := context.WithTimeout(c.ctx, c.o.length+2*time.Second+patience)
	defer cancel()
	out, err := c.s.from().RunCmd(ctx, lab.Cmd{Path: path, Args: args})
	var told struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err == nil {
		err = json.Unmarshal([]byte(out), &told)
	}
	switch {
	case c.ctx.Err() != nil:
		return 0, c.ctx.Err()
	case err != nil && c.s.whole:
		return 0, err
	case err != nil:
		c.note("%s: TCP did not get through", c.s.name)
		return 0, nil
	}
	return told.End.Received.Rate / 1e9, nil
}

// trips measures round trips by ping, a thousand a second: for each figure the middle one of some runs. Ten round trips of
// a run are its slowest hundredth, and whatever else runs on the switch's processor for some ten milliseconds of it, a
// command that somebody gives or a thread of the kernel's, decides them.
func (c *run) trips() error {
	goals := []bench.Goal{{By: nameSleep, Of: nameOVS, Factor: 0.5}}
	for _, by := range []string{nameSpin, nameXSpin, namePoll, nameXPoll} {
		goals = append(goals, bench.Goal{By: by, Of: nameAFXDP, Factor: 0.85})
	}
	quantiles := []int{50, 99}
	runs := make([][]float64, len(quantiles))
	for range c.o.repeats {
		us, err := c.pings(max(20, int(c.o.length.Seconds()*1000)))
		if err != nil {
			return err
		}
		for i, q := range quantiles {
			runs[i] = append(runs[i], us[len(us)*q/100])
		}
	}
	for i, q := range quantiles {
		c.add(bench.Row{Name: fmt.Sprintf("round trip p%d", q), Unit: "us", Less: true, Goals: goals}, bench.Median(runs[i]))
	}
	return nil
}

// pings are the times of n round trips in microseconds, the shortest first.
func (c *run) pings(n int) (us []float64, err error) {
	out, err := c.s.from().Run(c.ctx, "ping", "-i", "0.001", "-c", strconv.Itoa(n), "-W", "5", c.s.to().Addr4().String())
	if err != nil {
		return nil, err
	}
	for _, m := range pingTime.FindAllStringSubmatch(out, -1) {
		ms, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return nil, err
		}
		us = append(us, ms*1000)
	}
	if len(us) < n/2 {
		return nil, fmt.Errorf("of %d echo requests %d were answered", n, len(us))
	}
	slices.Sort(us)
	return us, nil
}

// pingTime is where ping says how long it took.
var pingTime = regexp.MustCompile(`time=([0-9.]+) ms`)
