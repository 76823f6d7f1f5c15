// Slow path: groups, of which this switch has none: requests are answered truthfully.

package agent

import "github.com/weirswitch/weir/openflow"

// handleGroupMod refuses to add and to change; deleting what is not there is no error (section 6.5).
func (s *Switch) handleGroupMod(m *openflow.GroupMod) error {
	switch m.Command {
	case openflow.GroupAdd:
		return openflow.Errorf(openflow.ErrGroupModFailed, openflow.GMFCOutOfGroups, "group %d: this switch has no groups (GROUP_FEATURES says so)", m.Group)
	case openflow.GroupModify:
		return openflow.Errorf(openflow.ErrGroupModFailed, openflow.GMFCUnknownGroup, "there is no group %d", m.Group)
	}
	return nil
}
