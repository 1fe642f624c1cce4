"""The benchmark: what keeld costs, beside a bare loop doing the same exchange in the same run."""
