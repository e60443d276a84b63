//go:build unix

package store

import (
	"io/fs"
	"os/user"
	"strconv"
	"syscall"
)

// owner returns the name of the user that a file belongs to.
func owner(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "someone unknown"
	}
	id := strconv.FormatUint(uint64(stat.Uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}
