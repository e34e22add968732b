/** Statements that begin and end what one operation of a group does. */
export const controlSql = {
  savepoint: "SAVEPOINT operation",
  rollbackToSavepoint: "ROLLBACK TO operation",
  releaseSavepoint: "RELEASE operation",
} as const;
