"""Publication: assembling what consumers read, the commit, and the BI catalogue."""
