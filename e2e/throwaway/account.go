package throwaway

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// account is an unprivileged user that servers run as where we are root:
// PostgreSQL refuses to be that. A nil account is the user that we are.
type account struct {
	name     string
	uid, gid uint32
}

// unprivileged returns nil unless we are root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	var failed error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &account{name, uint32(uid), uint32(gid)}, nil
	}
	return nil, fmt.Errorf("servers for tests do not run as root, and there is no other user for them: %w", failed)
}

func (a *account) credential() *syscall.Credential {
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// own gives a file of ours to the account.
func (a *account) own(name string) error {
	if a == nil {
		return nil
	}
	return os.Chown(name, int(a.uid), int(a.gid))
}

// temporary returns the folder for temporary files, or a usual one where the
// account may not get to that: it may be root's alone. InMemory asks for one that
// is not on a disk, unless TMPDIR says where to be.
func (a *account) temporary(inMemory bool) (string, error) {
	set, err := filepath.Abs(os.TempDir())
	if err != nil {
		return "", err
	}
	candidates := []string{set, "/tmp", "/var/tmp"}
	if fast := memoryFolder(); inMemory && fast != "" && os.Getenv("TMPDIR") == "" {
		candidates = slices.Insert(candidates, 0, fast)
	}
	for _, dir := range candidates {
		if a == nil || a.reaches(dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("user %s may not get to %s: set TMPDIR to a folder that everybody may enter", a.name, set)
}

// reaches reports whether the account may enter a folder and all above it.
func (a *account) reaches(dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return false
		}
		enter := os.FileMode(0o001)
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			switch {
			case owner.Uid == a.uid:
				enter = 0o100
			case owner.Gid == a.gid:
				enter = 0o010
			}
		}
		if info.Mode()&enter == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}
