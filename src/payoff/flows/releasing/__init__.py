"""From a verdict to production: releases, approvals, promotions, deployments. What is true is in git and the registry alone."""
