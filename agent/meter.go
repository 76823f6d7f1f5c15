// Slow path: meters, of which this switch has none: requests are answered truthfully.

package agent

import "github.com/weirswitch/weir/openflow"

// handleMeterMod refuses to add and to change; deleting what is not there is no error, as in Open vSwitch.
func (s *Switch) handleMeterMod(m *openflow.MeterMod) error {
	switch m.Command {
	case openflow.MeterAdd:
		return openflow.Errorf(openflow.ErrMeterModFailed, openflow.MMFCOutOfMeters, "meter %d: this switch has no meters (METER_FEATURES says so)", m.Meter)
	case openflow.MeterModify:
		return openflow.Errorf(openflow.ErrMeterModFailed, openflow.MMFCUnknownMeter, "there is no meter %d", m.Meter)
	}
	return nil
}

func answerMeters(r *openflow.MeterRequest) error {
	if r.Meter != openflow.MeterAll {
		return openflow.Errorf(openflow.ErrMeterModFailed, openflow.MMFCUnknownMeter, "there is no meter %d", r.Meter)
	}
	return nil
}
