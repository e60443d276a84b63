//go:build !linux

package throwaway

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attributes are empty: only Linux ends a process with its parent. Elsewhere a
// killed test leaves its servers; an interrupt from the terminal reaches them.
func attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// member is a process: a server or a child of it.
type member struct {
	pid   int
	still bool // it runs nothing: stopped or ended
}

// family returns a process and its children.
func family(pid int) ([]member, error) {
	table, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,stat=").Output()
	if err != nil {
		return nil, err
	}
	var members []member
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		id, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, err
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, err
		}
		if id == pid || parent == pid {
			members = append(members, member{id, strings.ContainsAny(fields[2][:1], "TZ")})
		}
	}
	return members, nil
}

// memoryFolder is "": there is no usual folder in memory.
func memoryFolder() string { return "" }
