package throwaway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// folder is a server's folder of temporary files. Its lock is gone with the
// program that made it: a folder that nobody locks was left by one that was
// killed.
type folder struct {
	name string
	lock *os.File // the folder itself
}

// newFolder removes folders that were left in parent, and makes a new one, all
// with names of the prefix.
func newFolder(parent, prefix string, account *account) (*folder, error) {
	left, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, name := range left {
		f, err := lockFolder(name)
		if err != nil {
			continue // in use, another user's, or gone
		}
		_ = f.remove()
	}
	for range 100 {
		name, err := os.MkdirTemp(parent, prefix)
		if err != nil {
			return nil, err
		}
		f, err := lockFolder(name)
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, os.ErrNotExist) {
			continue // somebody took it for one that was left
		}
		if err != nil {
			return nil, errors.Join(err, os.Remove(name))
		}
		if err := account.own(name); err != nil {
			return nil, errors.Join(err, f.remove())
		}
		return f, nil
	}
	return nil, fmt.Errorf("every new folder in %s is taken", parent)
}

// lockFolder locks a folder that is still there.
func lockFolder(name string) (*folder, error) {
	lock, err := os.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	f := &folder{name, lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if _, err := os.Stat(name); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

// remove removes the folder with all that is in it. Removing twice does nothing.
func (f *folder) remove() error {
	err := os.RemoveAll(f.name)
	if closed := f.lock.Close(); !errors.Is(closed, os.ErrClosed) {
		err = errors.Join(err, closed)
	}
	return err
}
