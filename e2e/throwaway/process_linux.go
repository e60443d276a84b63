package throwaway

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// attributes have the process get a signal when we are gone, and none of those
// that a terminal sends us.
func attributes(quit syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: quit}
}

// member is a process: a server or a child of it.
type member struct {
	pid   int
	still bool // it runs nothing: stopped or ended
}

// family returns a process and its children.
func family(pid int) ([]member, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var members []member
	for _, name := range names {
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			return nil, err
		}
		stat, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		// The name before it, in parentheses, may hold anything.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 {
			continue
		}
		parent, err := strconv.Atoi(string(fields[1]))
		if err != nil {
			return nil, err
		}
		if id == pid || parent == pid {
			members = append(members, member{id, bytes.ContainsAny(fields[0], "TtZX")})
		}
	}
	return members, nil
}

// memoryFolder is a folder in memory with room for a small server, or "". Where
// making a file takes a millisecond, a database of 300 files takes a third of a
// second.
func memoryFolder() string {
	const folder, tmpfs, room = "/dev/shm", 0x01021994, 2 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(folder, &fs); err != nil || fs.Type != tmpfs || fs.Bavail*uint64(fs.Bsize) < room {
		return ""
	}
	return folder
}
